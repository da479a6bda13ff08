// Package outbox keeps the packet engine's records until the bus takes them, and decides
// which go first and which are dropped when the bus is slow: detections before windows,
// windows before counts of blocked traffic, samples last. Windows that wait are merged,
// first 5 s and then 30 s into one; of the waiting updates of one attack the newest stays.
// Each kind has a limit of its own: detections maxDetections for all interfaces (the oldest
// is dropped); windows maxWindows (the oldest), prefixes of blocked traffic maxBlocked (new
// ones) and samples maxSamples (new ones) for each interface. Everything dropped, merged or
// replaced is counted.
package outbox

import "time"

// Bounds. An Outbox holds no more, whatever arrives.
const (
	// MinSamples is how many samples are worth a message.
	MinSamples = 32
	// MaxSampleAge is how long fewer than MinSamples samples wait: without much traffic that
	// is one message a minute.
	MaxSampleAge = time.Minute

	maxDetections = 4096 // records; the oldest is dropped
	minSampleAge  = time.Second
	maxSamples    = 2048 // of one interface; newer ones are dropped
	maxBlocked    = 4096 // prefixes of one interface; others are dropped

	// Windows without a busy source and with fewer packets than quietPackets wait until they are shortLength long together: each
	// record costs the bus and its consumers as much as a full one.
	quietPackets = 100
	shortLength  = 5 * time.Second
	longLength   = 30 * time.Second
	shortWindows = 6  // windows of one interface that wait before new ones grow to longLength
	maxWindows   = 40 // of one interface, about 20 min; the oldest is dropped
)

// Keys of Stats.Dropped.
const (
	DroppedSamples    = "samples"
	DroppedWindows    = "windows"
	DroppedBlocked    = "blocked"
	DroppedDetections = "detections"
)
