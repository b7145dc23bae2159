"""People: what they see and say.

    annotations     what they say of a sample, held against the judges        listening   what they hear in clips
    catalogue       what a run or a dataset holds, found and filtered         markup      a dialogue as HTML
    pages           the pages on which they annotate, listen and look on

Law of the folder: what a person says is kept under their name, and nothing that a judge or a model said is shown before.
"""
