package extract

import (
	"cmp"
	"time"
)

// Limits bound what one scan reads. They are chosen so that the worst input stays below 256 MiB of memory.
type Limits struct {
	TextBytes   int64         // size of a lock file or manifest
	Tokens      int           // cost of the separators in a lock file or manifest, see measure
	Nesting     int           // depth of brackets in a lock file or manifest
	BinaryBytes int64         // size of a program or archive, which is never read whole
	OtherFiles  int           // further files that one file refers to
	Files       int           // files and folders in the asset
	Depth       int           // folders below each other
	Packages    int           // packages in the asset
	Time        time.Duration // of the whole scan

	WantedFiles   int   // files of an image that may name packages, and their folders
	UnpackedBytes int64 // bytes that compressed layers and archives unpack to
	StoredBytes   int64 // bytes of the temporary file for files of compressed layers
	Ratio         int64 // unpacked bytes for each compressed one, once 16 MiB are unpacked
	Layers        int   // layers of an image
}

// defaultLimits are enough for a host with two million files, and for lock files of 10,000 packages.
var defaultLimits = Limits{
	TextBytes:     32 << 20,
	Tokens:        1_000_000,
	Nesting:       1000,
	BinaryBytes:   2 << 30,
	OtherFiles:    100,
	Files:         2_000_000,
	Depth:         128,
	Packages:      200_000,
	Time:          15 * time.Minute,
	WantedFiles:   300_000,
	UnpackedBytes: 16 << 30,
	StoredBytes:   4 << 30,
	Ratio:         200,
	Layers:        256,
}

func (l Limits) withDefaults() Limits {
	d := defaultLimits
	return Limits{
		TextBytes:     cmp.Or(l.TextBytes, d.TextBytes),
		Tokens:        cmp.Or(l.Tokens, d.Tokens),
		Nesting:       cmp.Or(l.Nesting, d.Nesting),
		BinaryBytes:   cmp.Or(l.BinaryBytes, d.BinaryBytes),
		OtherFiles:    cmp.Or(l.OtherFiles, d.OtherFiles),
		Files:         cmp.Or(l.Files, d.Files),
		Depth:         cmp.Or(l.Depth, d.Depth),
		Packages:      cmp.Or(l.Packages, d.Packages),
		Time:          cmp.Or(l.Time, d.Time),
		WantedFiles:   cmp.Or(l.WantedFiles, d.WantedFiles),
		StoredBytes:   cmp.Or(l.StoredBytes, d.StoredBytes),
		UnpackedBytes: cmp.Or(l.UnpackedBytes, d.UnpackedBytes),
		Ratio:         cmp.Or(l.Ratio, d.Ratio),
		Layers:        cmp.Or(l.Layers, d.Layers),
	}
}

// Reasons in Inventory.Skipped.
const (
	tooLarge      = "too_large"     // more bytes than the limit
	tooComplex    = "too_complex"   // more tokens or deeper nesting than the limit
	tooDeep       = "too_deep"      // a folder below more folders than the limit
	tooMany       = "too_many"      // more files, layers or packages than the limit
	tookTooLong   = "took_too_long" // the scan ended before the file's turn
	unreadable    = "unreadable"    // the system refused to open it
	malformed     = "malformed"     // not in the format that its name says
	failed        = "failed"        // a parser panicked
	decompression = "decompression" // unpacks to more than the limits
	unnamed       = "unnamed"       // a component of an SBOM without a usable package URL
)

const (
	maxProblems = 100
	maxReason   = 300 // bytes

	// maxPackageBytes bounds the packages of an asset as they are saved, below the 64 MiB that an inventory may have.
	maxPackageBytes = 56 << 20
)
