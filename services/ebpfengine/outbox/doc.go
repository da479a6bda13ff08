// Package outbox holds what the engine has to say until the bus takes it, and
// decides what goes first and what is lost when the bus is slow. Detections go
// before windows, windows before counts of what was blocked, samples last. Windows
// that have to wait are merged, 5 s into one and then 30 s; samples are dropped first, and
// detections last. Whatever is dropped or merged is counted.
package outbox

import "time"

// The bounds. An Outbox holds no more than these, whatever arrives.
const (
	// MinSamples go into a message, so that it is worth its cost.
	MinSamples = 32
	// SampleAge is how long samples wait for company before fewer than MinSamples go: in quiet times
	// that is one message a minute.
	SampleAge = time.Minute

	maxFindings = 4096 // different announcements; the oldest goes
	gather      = time.Second
	maxSamples  = 2048 // of one interface; newer ones are dropped
	maxBlocked  = 4096 // prefixes; those beyond are counted as dropped

	shortSpan  = 5 * time.Second
	longSpan   = 30 * time.Second
	shortSpans = 6  // of one interface, then windows grow to longSpan
	maxSpans   = 40 // of one interface, about 20 min; the oldest goes
)

// What is counted in Stats.Dropped.
const (
	DroppedSamples    = "samples"
	DroppedWindows    = "windows"
	DroppedBlocked    = "blocked"
	DroppedDetections = "detections"
)
