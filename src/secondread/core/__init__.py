"""The ground: study file, parts, tables, files on disk, provenance. Imports no other room and no torch."""
