package syslog

import (
	"bytes"
	"unicode/utf8"
)

// Senders exist that count octets wrongly: one too many, because the blank or a line end is counted, or characters instead of octets, which
// is too few. Where no frame begins after a counted message, its count was wrong; then the next frame begins at the next count with a
// priority after it, "36 <13>".

const (
	maxCount  = 7                // digits of maxFrame
	maxStart  = maxCount + 2 + 4 // of "1048576 <191>"
	maxExcess = 3                // bytes: a blank and a line end
	// slack is how far from the end of the next message its count may point and still be taken for its count.
	slack = maxStart
)

// startsFrame reports whether p, which follows a counted message, begins as a frame does, as far as it goes.
func startsFrame(p []byte) bool {
	if len(p) == 0 {
		return true
	}
	switch c := p[0]; {
	case c == '<':
		return len(p) <= len("<191") || isPriority(p)
	case c == '\n' || c == '\r' || c == 0:
		return true
	case c < '1' || c > '9':
		return false
	}
	n := 1
	for n < len(p) && n < maxCount && isDigit(p[n]) {
		n++
	}
	return n == len(p) || p[n] == ' ' && (n+1 == len(p) || p[n+1] == '<')
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// findStart returns where the next count and blank before a priority are in p, at or after from: the first digit and the blank. There may be digits
// of the message before it among those of the count.
func findStart(p []byte, from int) (digits, blank int, ok bool) {
	for at := from; ; {
		i := bytes.Index(p[at:], []byte(" <"))
		if i < 0 {
			return 0, 0, false
		}
		blank = at + i
		digits = blank
		for digits > from && blank-digits < maxCount && isDigit(p[digits-1]) {
			digits--
		}
		for digits < blank && p[digits] == '0' { // a count has no leading zero
			digits++
		}
		if digits < blank && isPriority(p[blank+1:]) {
			return digits, blank, true
		}
		at = blank + 2
	}
}

// isPriority reports whether p begins with a priority, such as <13>.
func isPriority(p []byte) bool {
	n := 1
	for n < len(p) && n <= 3 && isDigit(p[n]) {
		n++
	}
	return n > 1 && n < len(p) && p[n] == '>'
}

// chooseCount returns how many of the digits run are the count of the message that follows with its priority; those before it are the end of
// the message before. The count is that which ends nearest to the next frame. Of several, that of preferred digits wins, else that nearest to the
// count before.
func (f *framer) chooseCount(run, message []byte, preferred int) (digits int) {
	low, high, known := findStart(message, 1)
	best := -1
	for n := len(run); n > 0; n-- {
		if run[len(run)-n] == '0' {
			continue
		}
		count := countOf(run[len(run)-n:])
		miss := max(0, len(message)-slack-count)
		if known {
			miss = max(0, low-count, count-high)
		}
		miss *= 4
		if n != preferred {
			miss++
		}
		if miss = miss*maxFrame + min(maxFrame-1, max(count-f.count, f.count-count)); best < 0 || miss < best {
			best, digits = miss, n
		}
	}
	return digits
}

// countOf returns the number that at most maxCount digits are.
func countOf(digits []byte) (n int) {
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}

// endCounted ends a counted message, whose last bytes are p. rest follows in the stream; more of it are bytes of the message if the count was too low.
func (f *framer) endCounted(p, rest []byte) (more int, err error) {
	f.unverified = len(rest) == 0
	if f.over || len(f.buf)+len(p) > f.max { // it is not here to be looked at
		if startsFrame(rest) {
			return 0, f.end(p)
		}
		f.keep(p)
		f.beginRest()
		return 0, nil
	}
	message := p
	if len(f.buf) > 0 {
		f.keep(p)
		message, p = f.buf, nil
	}
	if excess, count := f.excessOf(message, rest); excess != 0 {
		return f.endElsewhere(message, rest, excess, count)
	}
	if startsFrame(rest) {
		f.excess = 0
		return 0, f.end(p)
	}
	f.wrong++
	if n := f.endOfCharacters(message, rest); n > 0 {
		f.buf = append(append(f.buf[:0], message...), rest[:n]...)
		return n, f.end(nil)
	}
	return 0, f.splitMerged(message, rest)
}

// excessOf returns by how many bytes the count of message was too high, because the count of the next frame, which is returned, begins in it; below zero,
// by how many it was too low; 0 if it seems right.
func (f *framer) excessOf(message, rest []byte) (excess int, count []byte) {
	before := message[max(0, len(message)-maxStart):]
	near := append(append(make([]byte, 0, 2*maxStart), before...), rest[:min(len(rest), maxStart)]...)
	if len(rest) == 0 { // that of the message before was as wrong
		if f.excess <= 0 {
			return 0, nil
		}
		tail := before[max(0, len(before)-f.excess):]
		if len(bytes.Trim(bytes.TrimSuffix(tail, []byte(" ")), "0123456789")) == 0 {
			return f.excess, tail
		}
		return 0, nil
	}
	digits, blank, ok := findStart(near, 0)
	if !ok || digits > len(before) || blank+1 < len(before) {
		return 0, nil
	}
	next := rest[blank+1-len(before):]
	if asCounted := blank - len(before); asCounted > 0 && near[len(before)] != '0' {
		if count := countOf(near[len(before):blank]); count >= len(next) && f.excess == 0 || count < len(next) && startsFrame(next[count:]) {
			return 0, nil // the count of the next message is right, too, as far as it is here
		}
	}
	n := f.chooseCount(near[digits:blank], next, blank-len(before)+f.excess)
	return len(before) - (blank - n), near[blank-n : max(len(before), blank-n)]
}

// endElsewhere ends message excess bytes earlier, with the bytes count, or later.
func (f *framer) endElsewhere(message, rest []byte, excess int, count []byte) (more int, err error) {
	f.wrong++
	count = bytes.Clone(count)
	f.excess = excess
	if excess < 0 {
		f.buf = append(append(f.buf[:0], message...), rest[:-excess]...)
		return -excess, f.end(nil)
	}
	f.buf = append(f.buf[:0], message[:len(message)-excess]...)
	if err := f.end(nil); err != nil {
		return 0, err
	}
	f.unverified = false
	f.buf, f.state = append(f.buf[:0], count...), inCount
	if bytes.HasSuffix(count, []byte(" ")) {
		f.state = afterCount
	}
	return 0, nil
}

// endOfCharacters returns how many bytes of rest belong to message if its count is of characters, 0 if it does not seem so.
func (f *framer) endOfCharacters(message, rest []byte) int {
	missing := len(message) - utf8.RuneCount(message)
	n := 0
	if !utf8.Valid(message) { // a character may be cut
		for end := message; n < min(3, len(rest)); {
			n++
			end = append(end[:len(end):len(end)], rest[n-1])
			if utf8.Valid(end) {
				missing = f.count - utf8.RuneCount(end)
				break
			}
		}
	}
	for ; missing > 0 && n < len(rest); missing-- {
		_, size := utf8.DecodeRune(rest[n:])
		n += size
	}
	if missing != 0 || !startsFrame(rest[n:]) || n > 0 && isDigit(rest[n-1]) { // a digit may be of the next count
		return 0
	}
	return n
}

// splitMerged emits the messages of which message consists because its count was too high, but for the last, which goes on with rest.
func (f *framer) splitMerged(message, rest []byte) error {
	digits, blank, ok := findStart(message, 1)
	if !ok {
		f.buf = append(f.buf[:0], message...)
		f.beginRest()
		return nil
	}
	whole := append(bytes.Clone(message), rest[:min(len(rest), readBytes)]...) // emit may use f.buf
	from, count := 0, 0
	for ; ok; digits, blank, ok = findStart(whole[:len(message)], from) {
		n := f.chooseCount(whole[digits:blank], whole[blank+1:], 0)
		count = countOf(whole[blank-n : blank])
		f.buf = append(f.buf[:0], whole[from:blank-n]...)
		if err := f.end(nil); err != nil {
			return err
		}
		from = blank + 1
	}
	return f.beginCounted(count, whole[from:len(message)])
}

// beginText takes what is in f.buf and what follows for text: up to a line end, or for the rest of a message whose count was too low.
func (f *framer) beginText() {
	f.state = inLine
	if f.unverified {
		f.wrong++
		f.beginRest()
	}
}

// beginRest takes what follows for a part of the message in f.buf, up to a line end or the next count with a priority.
func (f *framer) beginRest() { f.state, f.unverified = inRest, false }

// stepRest consumes part of p, up to end, where a line end is or p ends. The next count may begin in f.buf.
func (f *framer) stepRest(p []byte, end int) (int, error) {
	var before []byte
	if !f.over {
		before = f.buf[max(0, len(f.buf)-maxStart):]
	}
	text := append(append(make([]byte, 0, 2*maxStart), before...), p[:min(end, maxStart)]...)
	digits, blank, ok := findStart(text, 0)
	if !ok {
		text, before = p[:end], nil
		digits, blank, ok = findStart(text, 0)
	}
	if !ok && end == len(p) {
		f.keep(p)
		return end, nil
	}
	if !ok {
		return end + 1, f.end(p[:end])
	}
	var begun []byte // of the next message, where its priority was cut
	if blank+1 < len(before) {
		begun = bytes.Clone(before[blank+1:])
	}
	consumed := max(0, blank+1-len(before))
	n := f.chooseCount(text[digits:blank], append(begun[:len(begun):len(begun)], p[consumed:]...), 0)
	count := countOf(text[blank-n : blank])
	if at := blank - n - len(before); at >= 0 {
		f.keep(p[:at])
	} else {
		f.buf = f.buf[:len(f.buf)+at]
	}
	if err := f.end(nil); err != nil {
		return 0, err
	}
	return consumed, f.beginCounted(count, begun)
}

// beginCounted begins a message of count bytes, which are begun and those that follow.
func (f *framer) beginCounted(count int, begun []byte) error {
	if count > maxFrame {
		return errFraming
	}
	f.unverified = false
	f.buf, f.count, f.left, f.state = append(f.buf[:0], begun...), count, count-len(begun), inCounted
	if f.left <= 0 {
		f.beginRest()
	}
	return nil
}

// mayBeWhole reports whether the message that is not at its end may be whole, because its count was too high, or too low.
func (f *framer) mayBeWhole() bool {
	return len(f.buf) > 0 && (f.state == inCounted && f.left <= maxExcess || f.state == inRest)
}

// takeAsWhole ends the message that mayBeWhole is about.
func (f *framer) takeAsWhole() error {
	if f.state == inCounted {
		f.wrong++
	}
	f.unverified = true
	return f.end(nil)
}
