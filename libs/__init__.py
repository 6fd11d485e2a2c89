"""Things that are imported: one folder, one subject. Services build on these, never the other way round."""
