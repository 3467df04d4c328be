"""Where and how bytes rest: sealed objects, key objects, the journal. Knows no DICOM and no SQL."""
