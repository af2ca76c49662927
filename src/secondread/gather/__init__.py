"""Step 1: raw folders, tables, npz files and DICOM trees become rows."""
