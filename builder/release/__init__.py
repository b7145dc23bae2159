"""Publishing: what a version holds, how two of them differ, and how one comes to the Hub whole or not at all.

    repository    one dataset repository of the Hub, asked with patience
    snapshot      one version wherever it lies: its manifest, card and index
    difference    two snapshots -> what changed, and which step it is
    push          a packaged folder -> one commit and one tag

Law of the folder: nothing of a version is seen before its one commit, and any call may fail at any time.
"""
