package sigma

import (
	"errors"
	"math"
	"strconv"

	"go.yaml.in/yaml/v3"
)

var errRange = errors.New("number out of range")

// number is an integer, exactly, or a finite float.
type number struct {
	float   float64
	integer int64
	isInt   bool
}

func intNumber(i int64) number { return number{float: float64(i), integer: i, isInt: true} }

func (n number) equal(m number) bool {
	if n.isInt && m.isInt {
		return n.integer == m.integer
	}
	return n.float == m.float
}

func (n number) compare(op string, m number) bool {
	if n.isInt && m.isInt {
		return compare(op, n.integer, m.integer)
	}
	return compare(op, n.float, m.float)
}

func compare[T int64 | float64](op string, a, b T) bool {
	switch op {
	case "lt":
		return a < b
	case "lte":
		return a <= b
	case "gt":
		return a > b
	default:
		return a >= b
	}
}

// parseNumber reads a decimal number. Infinity and NaN are text.
func parseNumber(s string) (number, bool) {
	if s == "" || len(s) > 64 || s[0] > '9' {
		return number{}, false
	}
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return intNumber(i), true
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return number{}, false
	}
	return number{float: f}, true
}

// yamlNumber reads a number of YAML, also 0x10, 0o7 and 1_000.
func yamlNumber(n *yaml.Node) (number, error) {
	var i int64
	if n.Tag == "!!int" && n.Decode(&i) == nil {
		return intNumber(i), nil
	}
	var f float64
	if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return number{}, errRange
	}
	return number{float: f}, nil
}
