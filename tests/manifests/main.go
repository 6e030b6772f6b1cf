// Command manifests reads what stands under deploy/ as the programs that it is meant for read it, and prints it as JSON.
//
//	manifests yaml FILE           one YAML document; a key that stands twice is an error
//	manifests compose FILE        a Compose file with all its profiles, by Compose's own loader and schema
//	manifests kubernetes PATH...  objects of a file, or of a kustomization where PATH is a folder, each decoded into the type
//	                              that its API has; a field that the type does not have is an error
//
// Nothing here needs a network or a cluster.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	strictyaml "sigs.k8s.io/yaml"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) < 2 {
		return errors.New("expected yaml, compose or kubernetes, and a path")
	}
	var result any
	var err error
	switch kind, path := arguments[0], arguments[1]; kind {
	case "yaml":
		result, err = readYAML(path)
	case "compose":
		result, err = readCompose(path)
	case "kubernetes":
		result, err = readKubernetes(arguments[1:])
	default:
		return fmt.Errorf("%q: expected yaml, compose or kubernetes", kind)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

func readYAML(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document any
	if err := strictyaml.UnmarshalStrict(text, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return document, nil
}

func readCompose(path string) (any, error) {
	options, err := cli.NewProjectOptions([]string{path}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		return nil, err
	}
	return options.LoadProject(context.Background())
}

func readKubernetes(paths []string) ([]any, error) {
	scheme := runtime.NewScheme()
	builders := []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme, monitoringv1.AddToScheme,
	}
	for _, add := range builders {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	var objects []any
	for _, path := range paths {
		text, err := manifest(path)
		if err != nil {
			return nil, err
		}
		reader := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			object, err := decode(scheme, document)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// manifest is the text of a file, or what kustomize makes of a folder, with its default restriction: nothing from outside.
func manifest(path string) ([]byte, error) {
	status, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !status.IsDir() {
		return os.ReadFile(path)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}

// decode gives the document back as it was written, once its type has taken all of it.
func decode(scheme *runtime.Scheme, document []byte) (any, error) {
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := strictyaml.Unmarshal(document, &kind); err != nil {
		return nil, err
	}
	typed, err := scheme.New(schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind))
	if err != nil {
		return nil, err
	}
	if err := strictyaml.UnmarshalStrict(document, typed); err != nil {
		return nil, fmt.Errorf("%s: %w", kind.Kind, err)
	}
	var object any
	return object, strictyaml.Unmarshal(document, &object)
}
