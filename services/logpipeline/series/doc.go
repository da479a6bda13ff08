// Package series makes one series of alerts of matches with the same key that go on, be it lines that match a rule, or detections in
// packets: revision 0 at once, further revisions with the counts so far after 10 s, 1, 5 and 15 min and then hourly (every 5 min those of weak evidence or about a container), and a last one when
// the attack is over. A match with stronger evidence than the series has makes a revision at once, which is escalated.
//
// Times are those of the matches, so that a log read later gives the same series; the wall clock ends those that no later match ends.
// After a crash matches come again: Table.Seen takes over what is stored already. A Table is used by one goroutine at a time.
package series
