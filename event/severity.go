package event

import (
	"fmt"
	"strings"
)

// Severity ranks an alert. The zero value is Info. In JSON it is one of the
// five words of Sigma's level field, in lower case.
type Severity uint8

// The severities in ascending order. Sigma's "informational" reads as Info.
const (
	Info Severity = iota
	Low
	Medium
	High
	Critical
)

var severityNames = [...]string{"info", "low", "medium", "high", "critical"}

// ParseSeverity reads one of info, informational, low, medium, high, critical.
func ParseSeverity(s string) (Severity, error) {
	if s == "informational" {
		return Info, nil
	}
	for i, name := range severityNames {
		if s == name {
			return Severity(i), nil
		}
	}
	return Info, fmt.Errorf("severity %q is none of %s", s, strings.Join(severityNames[:], ", "))
}

// String returns the word of the JSON form.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// MarshalText encodes a known severity and refuses any other.
func (s Severity) MarshalText() ([]byte, error) {
	if int(s) >= len(severityNames) {
		return nil, fmt.Errorf("severity %d is out of range", uint8(s))
	}
	return []byte(s.String()), nil
}

// UnmarshalText is ParseSeverity.
func (s *Severity) UnmarshalText(b []byte) error {
	v, err := ParseSeverity(string(b))
	if err != nil {
		return err
	}
	*s = v
	return nil
}
