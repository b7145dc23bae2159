"""The Hub: versions published whole, data that others published, and endpoints that are rented there.

    repository    one dataset repository of the Hub, asked with patience
    snapshot      one version wherever it lies: its manifest, card and index
    difference    two snapshots -> what changed, and which step it is
    push          a packaged folder -> one commit and one tag
    address       what a person calls published data: a folder, or a repository
    published, published_rows    the published DeepDialogue, file by file and row by row
    hosting       Inference Endpoints for the models of a study, started and stopped

Law of the folder: nothing of a version is seen before its one commit, and any call may fail at any time.
"""
