"""What files of known formats hold: tensors, arrays, records, columns, and where each one lies.

One module a format, bytes to structure, by few and bounded reads; nothing is unpickled or
evaluated. What two such files have in common is told in ``versions/comparing``.
"""
