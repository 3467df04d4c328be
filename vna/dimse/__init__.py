"""The DICOM message service edge: associations, presentation contexts, DIMSE statuses."""
