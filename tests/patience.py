"""How long a test waits for what hangs.

Law of the file: it is one number, and no test passes or fails by how fast a machine is. What is waited for is a condition, and a
process that ended is noticed at once.
"""

PATIENCE_S = 1800.0
"""Far longer than anything takes on a machine at twenty times its load; pytest's own limit for a test is twice this."""
