"""The verbs: one file a stage, each an `async def verb(run) -> Tally` that brings its ledger up to date.

Law of the folder: a stage reads the ledgers before its own and writes its own; it never calls another stage.
"""
