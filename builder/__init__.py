"""DeepDialogue: makes, judges, speaks and packages emotionally rich dialogues. Start at `pipeline`."""
