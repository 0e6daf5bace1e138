"""The bundle file: its plan, tar and compression frames, the writer and the reader."""
