package sigma

// evaluation is the matching of one event: every field is looked up and
// converted at most once for all rules. Evaluations are reused through a pool.
type evaluation struct {
	event      Fields
	slots      map[string]int // field name → slot
	fieldNames []string       // slot → field name
	fields     []field        // slot → field of the event
	used       []int          // slots to reset
	nested     bool           // a field holds other fields
	keywords   []value        // every value of the event
	walked     bool           // keywords is filled
	conflicts  []bool         // RuleSet.logsources → conflicts with that of the event
}

// begin sets the fields of the event that rules read, but for those inside of others.
func (e *evaluation) begin(event Fields) {
	e.event = event
	for i, name := range event.names {
		v := event.values[i]
		e.nested = e.nested || v.kind == treeValue
		if slot, ok := e.slots[name]; ok {
			e.fields[slot].set(v)
			e.used = append(e.used, slot)
		}
	}
}

func (e *evaluation) field(slot int) *field {
	f := &e.fields[slot]
	if e.nested && !f.present && !f.resolved {
		f.resolvePath(&e.event, e.fieldNames[slot])
		e.used = append(e.used, slot)
	}
	return f
}

// allKeywords returns every value of the event.
func (e *evaluation) allKeywords() []value {
	if !e.walked {
		e.keywords, e.walked = allValues(e.keywords[:0], &e.event), true
	}
	return e.keywords
}

// reset drops the event but keeps the memory of the slices.
func (e *evaluation) reset() {
	for _, slot := range e.used {
		clear(e.fields[slot].values)
		e.fields[slot] = field{values: e.fields[slot].values[:0]}
	}
	clear(e.keywords)
	e.event, e.nested, e.used, e.keywords, e.walked, e.conflicts = Fields{}, false, e.used[:0], e.keywords[:0], false, e.conflicts[:0]
}
