"""What users hold in Python: Store, Folder, Model, Dataset, Branch, Tag, Commit."""
