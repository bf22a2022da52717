"""Files and folders: what may be written, by what name, by whom."""
