"""What is true of any DICOM program: data sets, attributes, matching, JSON, frames."""
