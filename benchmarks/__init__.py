"""Benchmarks: ratios against a bound, a bare loop or a peer, all taken in one run. README.md says what each measures.

Law of the folder: DeepDialogue is only ever run through its command line, as anybody runs it, with its ledgers on.
"""
