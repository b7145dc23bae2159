"""Evidence: what was made, counted once and shown everywhere: on the card, in the report, in `status`.

    findings    one file each: numbers with intervals, charts as data         figures     those charts, drawn
    panel       judges beside each other and beside people                    decisions   another rule of acceptance
    sounds      clips as numbers          card    the dataset's card          gallery     the card's figures
    report      the evidence on one page

Law of the folder: a number is counted from ledgers, never from what a study asked for.
"""
