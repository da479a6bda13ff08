package main

import (
	"cmp"
	"encoding"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

// modulePath is the import path of the repository's folder.
const modulePath = "github.com/ironpost/ironpost"

// schemaWriter makes the JSON Schema of what a Go type is encoded as: every field, those that may be absent, the values of
// constants, and the comments of the source as descriptions.
type schemaWriter struct {
	t       testing.TB
	defs    map[string]any
	names   map[reflect.Type]string
	sources map[string]*packageSource // by import path
}

// packageSource is what the source of a package says about its types.
type packageSource struct {
	docs   map[string]string   // of Type and Type.Field
	values map[string][]string // constants of a string type
}

func newSchemaWriter(t testing.TB) *schemaWriter {
	return &schemaWriter{t: t, defs: map[string]any{}, names: map[reflect.Type]string{}, sources: map[string]*packageSource{}}
}

// document returns the schema of a type as a document.
func (w *schemaWriter) document(name, title string, typ reflect.Type) []byte {
	root := map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://github.com/ironpost/ironpost/docs/schema/" + name + ".schema.json",
		"title": title,
	}
	for key, value := range w.schema(typ, false) {
		root[key] = value
	}
	if len(w.defs) > 0 {
		root["$defs"] = w.defs
	}
	out, err := json.MarshalIndent(root, "", "  ")
	require.NoError(w.t, err)
	return append(out, '\n')
}

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
)

// schema returns the schema of typ; nullable says whether a nil value is null, not absent.
func (w *schemaWriter) schema(typ reflect.Type, nullable bool) map[string]any {
	switch typ {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[event.Severity]():
		return map[string]any{"enum": severities}
	case reflect.TypeFor[event.Status]():
		return map[string]any{"enum": []string{"healthy", "degraded", "unhealthy"}}
	case reflect.TypeFor[bus.Hosts]():
		return w.schema(reflect.TypeFor[[]string](), true)
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	}
	switch {
	case typ.Kind() != reflect.Pointer && typ.Implements(textMarshaler):
		return map[string]any{"type": "string"}
	case typ.Implements(jsonMarshaler) && typ.Kind() != reflect.Pointer:
		require.Fail(w.t, "add this type to schemaWriter.schema: it encodes itself", typ.String())
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return orNull(w.schema(typ.Elem(), false), nullable)
	case reflect.Struct:
		return map[string]any{"$ref": "#/$defs/" + w.define(typ)}
	case reflect.Slice, reflect.Array:
		if typ.Elem().Kind() == reflect.Uint8 {
			return orNull(map[string]any{"type": "string", "contentEncoding": "base64"}, nullable)
		}
		return orNull(map[string]any{"type": "array", "items": w.schema(typ.Elem(), true)}, nullable)
	case reflect.Map:
		return orNull(map[string]any{"type": "object", "additionalProperties": w.schema(typ.Elem(), true)}, nullable)
	case reflect.Interface:
		return map[string]any{}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.String:
		if values := w.source(typ.PkgPath()).values[typ.Name()]; typ.PkgPath() != "" && len(values) > 0 {
			return map[string]any{"enum": values}
		}
		return map[string]any{"type": "string"}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer", "minimum": 0}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return map[string]any{"type": "integer"}
	}
	require.Fail(w.t, "no schema for this type", typ.String())
	return nil
}

// orNull allows null, too.
func orNull(schema map[string]any, nullable bool) map[string]any {
	if !nullable || len(schema) == 0 {
		return schema
	}
	return map[string]any{"anyOf": []any{map[string]any{"type": "null"}, schema}}
}

// define adds the schema of a struct to the definitions, and returns its name there.
func (w *schemaWriter) define(typ reflect.Type) string {
	if name, known := w.names[typ]; known {
		return name
	}
	name := strings.ToLower(typ.Name()[:1]) + typ.Name()[1:]
	for n := 2; w.defs[name] != nil; n++ {
		name = strings.ToLower(typ.Name()[:1]) + typ.Name()[1:] + strconv.Itoa(n)
	}
	w.names[typ] = name
	object := map[string]any{"type": "object", "additionalProperties": false}
	w.defs[name] = object
	properties, required := map[string]any{}, map[string]bool{}
	w.fields(typ, properties, required)
	object["properties"] = properties
	names := []string{} // never null
	for field, always := range required {
		if always {
			names = append(names, field)
		}
	}
	slices.Sort(names)
	object["required"] = names
	if doc := w.source(typ.PkgPath()).docs[typ.Name()]; doc != "" {
		object["description"] = doc
	}
	return name
}

// fields adds the fields of a struct, first those of the structs that it embeds, which its own replace.
func (w *schemaWriter) fields(typ reflect.Type, properties map[string]any, required map[string]bool) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous && f.Tag.Get("json") == "" {
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			w.fields(embedded, properties, required)
		}
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || !f.IsExported() || f.Anonymous && f.Tag.Get("json") == "" {
			continue
		}
		optional := strings.Contains(options, "omitempty") || strings.Contains(options, "omitzero")
		schema := w.schema(f.Type, !optional)
		if doc := w.source(typ.PkgPath()).docs[typ.Name()+"."+f.Name]; doc != "" {
			schema["description"] = doc
		}
		name = cmp.Or(name, f.Name)
		properties[name], required[name] = schema, !optional
	}
}

// source reads the source of a package of this repository; of any other it says nothing.
func (w *schemaWriter) source(path string) *packageSource {
	if known := w.sources[path]; known != nil {
		return known
	}
	s := &packageSource{docs: map[string]string{}, values: map[string][]string{}}
	w.sources[path] = s
	if path == "main" {
		path = modulePath + "/cmd/ironpost"
	}
	dir, here := strings.CutPrefix(path, modulePath+"/")
	if !here {
		return s
	}
	files, err := filepath.Glob(filepath.Join("../..", dir, "*.go"))
	require.NoError(w.t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := os.ReadFile(name)
		require.NoError(w.t, err)
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
		require.NoError(w.t, err)
		for _, decl := range file.Decls {
			if general, ok := decl.(*ast.GenDecl); ok {
				s.read(general)
			}
		}
	}
	return s
}

func (s *packageSource) read(decl *ast.GenDecl) {
	for _, spec := range decl.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			s.docs[spec.Name.Name] = commentText(spec.Doc, decl.Doc)
			if fields, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range fields.Fields.List {
					for _, name := range f.Names {
						s.docs[spec.Name.Name+"."+name.Name] = commentText(f.Doc, f.Comment)
					}
				}
			}
		case *ast.ValueSpec:
			named, ok := spec.Type.(*ast.Ident)
			if !ok || decl.Tok != token.CONST {
				continue
			}
			for _, value := range spec.Values {
				literal, ok := value.(*ast.BasicLit)
				if !ok || literal.Kind != token.STRING {
					continue
				}
				if text, err := strconv.Unquote(literal.Value); err == nil {
					s.values[named.Name] = append(s.values[named.Name], text)
				}
			}
		}
	}
}

// commentText returns the first comment there is, on one line.
func commentText(comments ...*ast.CommentGroup) string {
	for _, c := range comments {
		if text := strings.Join(strings.Fields(c.Text()), " "); text != "" {
			return text
		}
	}
	return ""
}
