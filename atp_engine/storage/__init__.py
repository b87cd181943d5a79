"""SQLite through one writer thread and a read pool; diskcache for bodies."""
