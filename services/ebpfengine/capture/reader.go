package capture

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

const (
	// A capture may be out of order by this many frames and bytes.
	maxQueued      = 1 << 16
	maxQueuedBytes = 32 << 20
	// maxBackstep is how far the clock may go back within one recording.
	maxBackstep = time.Minute
	// maxRecord is the limit of Wireshark and tcpdump for one packet.
	maxRecord = 256 << 10
	// A pcapng file may have anything between packets, and its reader keeps much of it in
	// memory: interfaces, names, secrets.
	maxBetween    = 8 << 20
	maxInterfaces = 4096
	maxNames      = 1 << 16
)

// errTooMuch ends a capture with too much data that is not packets.
var errTooMuch = errors.New("too much data between the packets")

// ErrFormat means that a file is no capture.
var ErrFormat = errors.New("not a pcap or pcapng capture")

// Stats counts the frames and the irregularities of a capture.
type Stats struct {
	Frames      uint64 // returned by Next
	Unsupported uint64 // skipped: of an unsupported link type, or with an unknown header
	Reordered   uint64 // earlier in time than one before them in the file
	ClockJumps  uint64 // how often the clock went back too far to sort the frames
	Version     string // of a pcap file, if it is not known; it was read as 2.4
	Truncated   string // why the capture ends early; empty if it does not
}

// Reader reads one capture. It is not safe for concurrent use.
type Reader struct {
	next  func() (record, error)
	queue frameHeap
	bytes int
	stats Stats
	ended error

	newest time.Time // in the file
	last   time.Time // returned
	shift  time.Duration
	seq    uint64
}

// record is a packet as it is in the file.
type record struct {
	at     time.Time
	link   layers.LinkType
	data   []byte
	length int
}

// HasMagic reports whether a file that begins with these bytes (at least four) may be a
// capture that NewReader reads.
func HasMagic(begin []byte) bool {
	if len(begin) < 4 {
		return false
	}
	switch [4]byte(begin[:4]) {
	case [4]byte{0xd4, 0xc3, 0xb2, 0xa1}, [4]byte{0xa1, 0xb2, 0xc3, 0xd4}, // pcap, microseconds
		[4]byte{0x4d, 0x3c, 0xb2, 0xa1}, [4]byte{0xa1, 0xb2, 0x3c, 0x4d}, // pcap, nanoseconds
		[4]byte{0x0a, 0x0d, 0x0d, 0x0a}: // pcapng
		return true
	}
	return false
}

// NewReader returns a reader of the capture in r. It fails with ErrFormat if r is no capture.
func NewReader(r io.Reader) (*Reader, error) {
	buffered := bufio.NewReaderSize(r, 1<<16)
	begin, err := buffered.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read capture: %w", err)
	}
	if !HasMagic(begin) {
		return nil, fmt.Errorf("begins with % x: %w", begin, ErrFormat)
	}
	isNG := begin[0] == 0x0a
	file, version := io.Reader(buffered), ""
	if !isNG {
		file, version = knownVersion(buffered)
	}
	next, err := open(file, isNG)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return &Reader{next: next, stats: Stats{Version: version}}, nil
}

// knownVersion returns a pcap file with an unknown minor version as one of version 2.4,
// which all since 1998 are like, and that version.
func knownVersion(r *bufio.Reader) (file io.Reader, version string) {
	const header, known = 24, 4
	begin, err := r.Peek(header)
	if err != nil {
		return r, "" // too short, as the reader will say
	}
	order := binary.ByteOrder(binary.LittleEndian)
	if begin[0] == 0xa1 {
		order = binary.BigEndian
	}
	major, minor := order.Uint16(begin[4:]), order.Uint16(begin[6:])
	if minor == known {
		return r, ""
	}
	mended := slices.Clone(begin)
	order.PutUint16(mended[6:], known)
	_, _ = r.Discard(header) // they were peeked
	return io.MultiReader(bytes.NewReader(mended), r), fmt.Sprintf("%d.%d", major, minor)
}

func open(r io.Reader, ng bool) (func() (record, error), error) {
	if ng {
		return openNG(r)
	}
	file, err := pcapgo.NewReader(r)
	if err != nil {
		return nil, err
	}
	file.SetSnaplen(maxRecord)
	link := file.LinkType()
	return func() (record, error) {
		data, info, err := file.ZeroCopyReadPacketData()
		return record{at: info.Timestamp, link: link, data: data, length: info.Length}, err
	}, nil
}

func openNG(from io.Reader) (func() (record, error), error) {
	r := &limitedReader{r: from, left: maxBetween}
	file, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true, SkipUnknownVersion: true})
	if err != nil {
		return nil, err
	}
	return func() (record, error) {
		r.left = maxBetween
		data, info, err := file.ZeroCopyReadPacketData()
		if err == nil && (file.NInterfaces() > maxInterfaces || file.NNames() > maxNames) {
			err = errTooMuch
		}
		if err != nil {
			return record{}, err
		}
		link := layers.LinkTypeEthernet
		if len(info.AncillaryData) > 0 {
			if known, ok := info.AncillaryData[0].(layers.LinkType); ok {
				link = known
			}
		}
		return record{at: info.Timestamp, link: link, data: data, length: info.Length}, nil
	}, nil
}

// limitedReader fails when more than left bytes are read.
type limitedReader struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (r *limitedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errTooMuch
	}
	n, err := r.r.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// Next returns the next frame, or io.EOF. A truncated or damaged capture ends there, and
// Stats says so.
func (r *Reader) Next() (Frame, error) {
	for r.ended == nil && len(r.queue) < maxQueued && r.bytes < maxQueuedBytes {
		r.enqueue()
	}
	if len(r.queue) == 0 {
		return Frame{}, io.EOF
	}
	f, ok := heap.Pop(&r.queue).(queuedFrame)
	if !ok {
		return Frame{}, io.EOF
	}
	r.bytes -= len(f.Data)
	r.stats.Frames++
	f.At = r.monotonic(f.At)
	return f.Frame, nil
}

// Stats returns the counts so far. They are complete once Next returned io.EOF.
func (r *Reader) Stats() Stats { return r.stats }

// enqueue moves one packet from the file to the queue.
func (r *Reader) enqueue() {
	rec, err := r.next()
	if err != nil {
		r.ended = err
		if !errors.Is(err, io.EOF) {
			r.stats.Truncated = err.Error()
		}
		return
	}
	data, length, ok := toEthernet(rec.link, rec.data, rec.length)
	if !ok {
		r.stats.Unsupported++
		return
	}
	if rec.at.Before(r.newest) {
		r.stats.Reordered++
	} else {
		r.newest = rec.at
	}
	r.seq++
	heap.Push(&r.queue, queuedFrame{Frame: Frame{At: rec.at, Data: data, Length: length}, seq: r.seq})
	r.bytes += len(data)
}

// monotonic turns the file's time into one that never decreases. A small step back counts
// as no time; a large one is a clock that was set, and time goes on from where it was.
func (r *Reader) monotonic(at time.Time) time.Time {
	at = at.Add(r.shift)
	if behind := r.last.Sub(at); behind > 0 {
		if behind > maxBackstep {
			r.shift += behind
			r.stats.ClockJumps++
		}
		at = r.last
	}
	r.last = at
	return at
}

// queuedFrame is a frame that waits for earlier ones. Frames of the same time keep their order.
type queuedFrame struct {
	Frame

	seq uint64
}

// frameHeap is a heap by time (heap.Interface).
type frameHeap []queuedFrame

func (w frameHeap) Len() int { return len(w) }
func (w frameHeap) Less(i, j int) bool {
	if !w[i].At.Equal(w[j].At) {
		return w[i].At.Before(w[j].At)
	}
	return w[i].seq < w[j].seq
}
func (w frameHeap) Swap(i, j int) { w[i], w[j] = w[j], w[i] }

// Push implements heap.Interface.
func (w *frameHeap) Push(x any) {
	if h, ok := x.(queuedFrame); ok {
		*w = append(*w, h)
	}
}

// Pop implements heap.Interface.
func (w *frameHeap) Pop() any {
	old := *w
	last := old[len(old)-1]
	old[len(old)-1] = queuedFrame{}
	*w = old[:len(old)-1]
	return last
}
