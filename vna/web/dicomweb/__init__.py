"""The DICOMweb resources of PS3.18."""
