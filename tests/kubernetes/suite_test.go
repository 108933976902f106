// Package kubernetes makes a program of the suite that Kubernetes tests itself with.
package kubernetes

import _ "k8s.io/kubernetes/test/e2e"
