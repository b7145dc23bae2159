"""A run: one folder that holds everything made of one study.

    folder      the folder and its ledgers, opened       ledger      append-only files, a checksum a line
    pin         what the folder is pinned to             journal     every answer of a model, so that none is asked for twice
    site        where it is made: the plug-ins, opened   work        the engine that works through items
    failures    what failed, by the work it failed in
    served      what really answers for a model          meter       what models are asked, and the budget
    replicas    several endpoints of one model as one    doctor      whether a site is fit for a study
    recorder    recordings as a run keeps them           audio       FLAC, WAV, few large audio files
    share       a run on storage that many machines see

Law of the folder: kill it at any moment, run it again, and nothing finished is lost or done twice.
"""
