"""Reading a packaged dataset: subsets in plain names, streamed at the speed of the disk or of the line.

    subset.py    what is asked for, checked: the names, the level, the columns
    plan.py      which rows those are, by the offset index, and in which order they are read
    source.py    where the bytes lie: a folder, a repository of the Hub at one commit, any address
    table.py     the columns of a row group, by ranges
    rows.py      text and clips, read ahead in threads and decoded on all cores
    ahead.py     work done ahead, in order and within a budget
    stream.py    all of it as a `datasets.IterableDataset`
    chats.py     dialogues as messages, for fine-tuning
    voices.py    voices for training and for testing, so that no voice of the test is known from training

`deepdialogue.load` and `deepdialogue.messages` are its front.
Law of the folder: what was not asked for is not read, and PyTorch is not imported for anyone who has not. What it needs of the
house it imports by relative names, and so do those files: beside a script with a `builder` of its own, the folder is
`deepdialogue.dataset.reader`.
"""
