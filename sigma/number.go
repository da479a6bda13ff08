package sigma

import (
	"cmp"
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

// satisfies reports whether n is in the relation op to m. Integers are compared
// exactly.
func (n number) satisfies(op string, m number) bool {
	if n.isInt && m.isInt {
		return inRelation(op, cmp.Compare(n.integer, m.integer))
	}
	return inRelation(op, cmp.Compare(n.float, m.float))
}

// inRelation reports whether op is true for two numbers; order is the result of
// cmp.Compare for them.
func inRelation(op string, order int) bool {
	switch op {
	case "lt":
		return order < 0
	case "lte":
		return order <= 0
	case "gt":
		return order > 0
	case "gte":
		return order >= 0
	case "neq":
		return order != 0
	default: // eq
		return order == 0
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
