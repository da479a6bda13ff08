package tail

// Reasons for which bytes were lost; keys of Stats.Lost.
const (
	LostTruncated  = "truncated"  // cut off before they were read, and no copy was found
	LostRotated    = "rotated"    // the rotated file is gone or compressed
	LostTorn       = "torn"       // the half written end of a spool file
	LostUnreadable = "unreadable" // a rotated file that may not be read
)

// Stats is what a Tailer did so far and how far it is behind.
type Stats struct {
	Files     int              // followed now
	Lines     int64            // handed out
	Bytes     int64            // consumed
	Truncated int64            // lines longer than Config.MaxLine
	Rotations int64            // files replaced or truncated under their path
	Lag       int64            // bytes written and not yet handed out
	Lost      map[string]int64 // bytes lost, by reason
	// Reasons are sentences for the operator, sorted: what is not followed and why.
	Reasons []string
	// Behind holds the files with the largest lag, at most 20, largest first.
	Behind []FileStats
}

// FileStats is the lag of one file.
type FileStats struct {
	Path  string
	Lag   int64 // bytes written and not yet handed out
	Lines int64 // handed out
}
