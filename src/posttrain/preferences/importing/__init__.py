"""Files of other tools, and our own, into a store: prompts with responses, and what people have said of them.

Flow: file -> records one by one (`file_rows`) -> a format's reader -> `ImportedRecord` -> `import_file` -> store.
A reader is a pure function of one record. Every malformed record is an error that names file and line, before
anything is stored; what is well formed and has nothing to rank is left out and counted.
"""
