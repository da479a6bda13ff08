// Package series makes one series of alerts of an attack in packet detections that goes on: revision 0 at once, further revisions with
// the counts so far after 10 s, 1, 5 and 15 min and then hourly, and a last one when the attack is over.
//
// Alerts with one DedupKey are one series, so two detections of the same attack, for example on two interfaces, are one; it is over when
// all of them are. An attack with the same key that begins soon after the last one was over continues its series. The times are those
// of the detections. A Table is used by one goroutine at a time.
package series
