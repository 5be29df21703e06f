"""The command line: commands, options, paths, jobs, and how they are reported."""
