// SPDX-License-Identifier: Apache-2.0

// Package kubernetes holds nothing but the test of daemonset.yaml.
package kubernetes

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// decode reads the documents of daemonset.yaml as the API server does with strict
// validation of fields.
func decode(t *testing.T) (ns corev1.Namespace, ds appsv1.DaemonSet) {
	t.Helper()
	text, err := os.ReadFile("daemonset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs := bytes.Split(text, []byte("\n---\n"))
	if len(docs) != 2 {
		t.Fatalf("%d documents", len(docs))
	}
	for i, into := range []any{&ns, &ds} {
		doc, err := yaml.YAMLToJSONStrict(docs[i])
		if err != nil {
			t.Fatal(err)
		}
		if unknown, err := json.UnmarshalStrict(doc, into); err != nil || len(unknown) > 0 {
			t.Fatal(unknown, err)
		}
	}
	if ns.Kind != "Namespace" || ds.Kind != "DaemonSet" || ds.APIVersion != "apps/v1" || ds.Namespace != ns.Name {
		t.Fatalf("%s %s, %s %s in %s", ns.Kind, ns.Name, ds.APIVersion, ds.Kind, ds.Namespace)
	}
	return ns, ds
}

// TestDaemonSetIsConfined: it sees the node's processes, and may do no more to the node
// than the service may.
func TestDaemonSetIsConfined(t *testing.T) {
	_, ds := decode(t)
	pod := ds.Spec.Template.Spec
	if !pod.HostPID || pod.HostNetwork || pod.HostIPC || pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("of the host: %+v", pod)
	}
	if len(pod.Containers) != 1 || len(pod.InitContainers) > 0 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	s := c.SecurityContext
	for what, is := range map[string]*bool{"privileged": s.Privileged, "escalates": s.AllowPrivilegeEscalation} {
		if is == nil || *is {
			t.Errorf("%s", what)
		}
	}
	if s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.SeccompProfile == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("root file system or seccomp: %+v", s)
	}
	if !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Errorf("drops %q", s.Capabilities.Drop)
	}
	var has []string
	for _, c := range s.Capabilities.Add {
		has = append(has, "CAP_"+string(c))
	}
	unit, err := os.ReadFile("../systemd/mllbd.service")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(regexp.MustCompile(`(?m)^CapabilityBoundingSet=(.*)$`).FindSubmatch(unit)[1]))
	if !slices.Equal(slices.Sorted(slices.Values(has)), slices.Sorted(slices.Values(want))) {
		t.Errorf("capabilities %q, and the service has %q", has, want)
	}
	for _, resource := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, request := c.Resources.Limits[resource], c.Resources.Requests[resource]
		if limit.IsZero() || request.IsZero() || request.Cmp(limit) > 0 {
			t.Errorf("%s: %s of %s", resource, request.String(), limit.String())
		}
	}
}

// TestDaemonSetIsWhole: what one part names another part has.
func TestDaemonSetIsWhole(t *testing.T) {
	ns, ds := decode(t)
	pod := ds.Spec.Template.Spec
	c := pod.Containers[0]
	if ns.Labels["pod-security.kubernetes.io/enforce"] != "privileged" {
		t.Errorf("the namespace refuses the pods: %q", ns.Labels)
	}
	for key, value := range ds.Spec.Selector.MatchLabels {
		if ds.Spec.Template.Labels[key] != value {
			t.Errorf("the selector wants %s=%s", key, value)
		}
	}
	volumes := make(map[string]corev1.Volume)
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	writable := 0
	for _, m := range c.VolumeMounts {
		if v := volumes[m.Name]; v.HostPath == nil || v.HostPath.Path != m.MountPath {
			t.Errorf("%s is mounted from %+v", m.MountPath, v.HostPath)
		}
		if !m.ReadOnly {
			writable++
		}
	}
	if writable != 1 || len(c.VolumeMounts) != len(volumes) {
		t.Errorf("%d of %d volumes can be written to: %+v", writable, len(volumes), c.VolumeMounts)
	}
	port := strconv.Itoa(int(c.Ports[0].ContainerPort))
	if listen := "--listen=[$(POD_IP)]:" + port; !slices.Contains(c.Args, listen) || ds.Spec.Template.Annotations["prometheus.io/port"] != port {
		t.Errorf("no %s, or another port in %q", listen, ds.Spec.Template.Annotations)
	}
	if c.Env[0].Name != "POD_IP" || c.Env[0].ValueFrom.FieldRef.FieldPath != "status.podIP" {
		t.Errorf("environment %+v", c.Env)
	}
	for name, p := range map[string]*corev1.Probe{"readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/healthz" || p.HTTPGet.Port.String() != c.Ports[0].Name {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if len(pod.Tolerations) != 1 || pod.Tolerations[0].Operator != corev1.TolerationOpExists || pod.Tolerations[0].Key != "" {
		t.Errorf("tolerations %+v", pod.Tolerations)
	}
}
