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
	// MaxSampleAge is how long samples wait for company before fewer than MinSamples go: in quiet times
	// that is one message a minute.
	MaxSampleAge = time.Minute

	maxDetections = 4096 // different announcements; the oldest goes
	minSampleAge  = time.Second
	maxSamples    = 2048 // of one interface; newer ones are dropped
	maxBlocked    = 4096 // prefixes; those beyond are counted as dropped

	shortLength  = 5 * time.Second
	longLength   = 30 * time.Second
	shortWindows = 6  // of one interface, then windows grow to longSpan
	maxWindows   = 40 // of one interface, about 20 min; the oldest goes
)

// What is counted in Stats.Dropped.
const (
	DroppedSamples    = "samples"
	DroppedWindows    = "windows"
	DroppedBlocked    = "blocked"
	DroppedDetections = "detections"
)
