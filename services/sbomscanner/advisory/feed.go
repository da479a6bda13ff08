package advisory

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/event"
)

// The names of the feeds, as Coverage.Ecosystem has them. No ecosystem of OSV is called so.
const (
	kevFeed  = "KEV"
	epssFeed = "EPSS"
)

// Limits of a feed. FIRST publishes scores of some 300,000 CVEs, CISA about 1,500 exploited ones.
const (
	maxFeedBytes   = 64 << 20
	maxFeedRecords = 1 << 20
	maxKEVBytes    = 32 << 20
)

// KEV is an entry of CISA's catalog of known exploited vulnerabilities.
type KEV struct {
	CVE        string
	Name       string
	Added      string // date, YYYY-MM-DD
	Due        string // date by which US agencies must fix it
	Ransomware bool   // known to be used by ransomware
}

// EPSS is the exploit prediction score of FIRST.
type EPSS struct {
	CVE         string
	Probability float64 // of exploitation in the next 30 days, 0 to 1
	Percentile  float64 // share of CVEs with the same or a lower probability, 0 to 1
}

// KEV returns the catalog's entry for a CVE, and whether there is one.
func (s *Store) KEV(cve string) (KEV, bool, error) {
	var found KEV
	ok, err := s.feed(kevFeed, cve, func(d *decoder) bool {
		k := KEV{CVE: d.str(), Name: d.str(), Added: d.str(), Due: d.str(), Ransomware: d.number() == 1}
		if k.CVE == cve {
			found = k
		}
		return k.CVE == cve
	})
	return found, ok, err
}

// EPSS returns the scores of a CVE, and whether there are any.
func (s *Store) EPSS(cve string) (EPSS, bool, error) {
	var found EPSS
	ok, err := s.feed(epssFeed, cve, func(d *decoder) bool {
		e := EPSS{CVE: d.str(), Probability: d.float(), Percentile: d.float()}
		if e.CVE == cve {
			found = e
		}
		return e.CVE == cve
	})
	return found, ok, err
}

// feed calls match with the records that may be about cve. Without the feed there are none.
func (s *Store) feed(name, cve string, match func(*decoder) bool) (bool, error) {
	found := false
	err := s.use(name, func(m *mapped) error {
		return m.byID(cve, func(payload []byte) error {
			d := decoder{rest: payload}
			found = match(&d) || found
			if d.bad {
				return errMalformed
			}
			return nil
		})
	})
	if errors.Is(err, ErrNotCovered) {
		err = nil
	}
	return found, err
}

// importFeed makes the index of the feed called name from a file that came from path.
func (d *database) importFeed(name, path string, file *os.File, o Options) (_ []Coverage, err error) {
	sum, err := hashFile(file)
	if err != nil {
		return nil, err
	}
	out, err := d.staging.OpenFile(name+".index", os.O_RDWR|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	b, err := newBuilder(out)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	w := &feedWriter{builder: b, Coverage: Coverage{Ecosystem: name, Source: path, SHA256: sum, Imported: now, Checked: now}}
	parse := parseKEV
	if name == epssFeed {
		parse = parseEPSS
	}
	if err := parse(file, w); err != nil {
		return nil, err
	}
	if w.Records = b.count; w.Records == 0 {
		return nil, fmt.Errorf("it has no entries of %s", name)
	}
	if err := d.checkCounts([]Coverage{w.Coverage}, o); err != nil {
		return nil, err
	}
	w.Refused, w.Examples = w.refused, w.examples
	if w.FileSHA256, w.FileSize, err = b.finish(); err != nil {
		return nil, err
	}
	w.File = indexName(name, w.FileSHA256)
	return []Coverage{w.Coverage}, d.staging.Rename(name+".index", w.File)
}

// feedWriter collects the records of a feed.
type feedWriter struct {
	Coverage
	refusals
	builder *builder
}

func (w *feedWriter) add(cve string, payload []byte) error {
	if w.builder.count == maxFeedRecords {
		return fmt.Errorf("it has more than %d entries", maxFeedRecords)
	}
	return w.builder.add(payload, nil, []string{cve})
}

// addOrRefuse adds an entry, or counts it if err says why it is not imported.
func (w *feedWriter) addOrRefuse(where, cve string, payload []byte, err error) error {
	if err == nil {
		return w.add(cve, payload)
	}
	return w.refuse(where, err)
}

// parseKEV reads CISA's known_exploited_vulnerabilities.json.
func parseKEV(r io.Reader, w *feedWriter) error {
	b, err := io.ReadAll(io.LimitReader(r, maxKEVBytes+1))
	if err != nil {
		return err
	}
	if len(b) > maxKEVBytes {
		return fmt.Errorf("it has more than %d bytes", maxKEVBytes)
	}
	if n := countValues(b); n > maxValues {
		return fmt.Errorf("it has more than %d values", maxValues)
	}
	var catalog struct {
		Released        time.Time `json:"dateReleased"`
		Vulnerabilities []struct {
			CVE        string `json:"cveID"`
			Name       string `json:"vulnerabilityName"`
			Added      string `json:"dateAdded"`
			Due        string `json:"dueDate"`
			Ransomware string `json:"knownRansomwareCampaignUse"`
		} `json:"vulnerabilities"`
	}
	if err := json.Unmarshal(b, &catalog); err != nil {
		return fmt.Errorf("it is not CISA's catalog of known exploited vulnerabilities: %w", err)
	}
	w.Newest = catalog.Released.UTC()
	for i, v := range catalog.Vulnerabilities {
		payload := appendString(nil, v.CVE)
		for _, text := range []string{v.Name, v.Added, v.Due} {
			payload = appendString(payload, event.Shorten(text, maxSummary))
		}
		ransomware := uint64(0)
		if v.Ransomware == "Known" {
			ransomware = 1
		}
		payload = binary.AppendUvarint(payload, ransomware)
		if err := w.addOrRefuse(fmt.Sprintf("vulnerabilities[%d]", i), v.CVE, payload, checkCVE(v.CVE)); err != nil {
			return err
		}
	}
	return nil
}

// parseEPSS reads FIRST's epss_scores-YYYY-MM-DD.csv, packed by gzip or not: a comment with the date, a header, then lines of
// cve, probability and percentile.
func parseEPSS(r io.Reader, w *feedWriter) error {
	in := bufio.NewReader(r)
	limited := &io.LimitedReader{R: in, N: maxFeedBytes}
	if start, _ := in.Peek(2); string(start) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return err
		}
		limited.R = unpacked
	}
	lines := bufio.NewScanner(limited) // a line has at most 64 KiB
	if err := readScores(lines, w); err != nil {
		return err
	}
	if limited.N == 0 {
		return fmt.Errorf("it unpacks to more than %d bytes", maxFeedBytes)
	}
	return lines.Err()
}

func readScores(lines *bufio.Scanner, w *feedWriter) error {
	header := false
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case n == 1 && strings.HasPrefix(line, "#"):
			w.Newest = scoreDate(line)
		case !header:
			if header = line == "cve,epss,percentile"; !header {
				return errors.New("it is not FIRST's table of scores: its header is not cve,epss,percentile")
			}
		default:
			cve, payload, err := parseScore(line)
			if err := w.addOrRefuse(fmt.Sprintf("line %d", n), cve, payload, err); err != nil {
				return err
			}
		}
	}
	return nil
}

func scoreDate(comment string) time.Time {
	_, date, _ := strings.Cut(comment, "score_date:")
	date, _, _ = strings.Cut(strings.TrimSpace(date), "T")
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		return time.Time{}
	}
	return t
}

// parseScore returns the CVE of a line and the line's stored form.
func parseScore(line string) (cve string, payload []byte, err error) {
	fields := strings.SplitN(line, ",", 4)
	if len(fields) != 3 {
		return "", nil, refuse(refusedScore, "it does not have three fields")
	}
	if err := checkCVE(fields[0]); err != nil {
		return "", nil, err
	}
	payload = appendString(nil, fields[0])
	for _, text := range fields[1:] {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || !(v >= 0 && v <= 1) {
			return "", nil, refuse(refusedScore, "a score is %q, not a number from 0 to 1", event.Shorten(text, 32))
		}
		payload = binary.LittleEndian.AppendUint64(payload, math.Float64bits(v))
	}
	return fields[0], payload, nil
}

func checkCVE(id string) error {
	if !strings.HasPrefix(id, "CVE-") {
		return refuse(refusedID, "%q is not the id of a CVE", event.Shorten(id, 64))
	}
	if err := checkID(id); err != nil {
		return &refusal{reason: refusedID, cause: err}
	}
	return nil
}

func (d *decoder) float() float64 {
	if len(d.rest) < 8 {
		d.fail()
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(d.rest))
	d.rest = d.rest[8:]
	return v
}
