"""The catalogue of patients, studies, series and instances. Derived from the blobs, rebuildable."""
