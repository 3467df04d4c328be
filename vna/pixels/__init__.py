"""What is done to pixels: codecs, transcoding, rendering, all of it in sandboxed processes."""
