//! All codes: the one place that says what they are.
//!
//! The examples are files, `controller/audit/lint/PA101/has.yaml` and `nearly.yaml`, so that a test can lint them.
//! A number is never used again for something else.

use super::code::{Entry, Severity};

macro_rules! codes {
    ($($code:ident $id:literal $name:literal $severity:ident: $title:literal; why: $why:literal; fix: $fix:literal;)*) => {
        /// What can be found.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $code,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// What there is to say about it.
            pub fn entry(self) -> &'static Entry {
                match self {
                    $(Self::$code => &Entry {
                        id: $id,
                        name: $name,
                        severity: Severity::$severity,
                        title: $title,
                        why: $why,
                        fix: $fix,
                        has: include_str!(concat!("../../lint/", $id, "/has.yaml")),
                        nearly: include_str!(concat!("../../lint/", $id, "/nearly.yaml")),
                    },)*
                }
            }
        }
    };
}

codes! {
    NotUnderstood "PA001" "not-understood" Error:
        "A part of the policy that cannot be understood";
        why: "The part allows nothing, while the policy goes on isolating what it selects. An API server refuses most of this, so the file cannot be applied either.";
        fix: "Correct the field.";

    PolicyTypesDefault "PA002" "policy-types-default" Info:
        "policyTypes is left to its default";
        why: "Without policyTypes a policy isolates for ingress, and for egress too if it has an egress section, even an empty one. An edit that adds or removes that section then changes more than it seems to.";
        fix: "Write policyTypes out.";

    EgressIsolatesIngress "PA003" "egress-isolates-ingress" Warning:
        "A policy that speaks of egress alone closes ingress too";
        why: "Without policyTypes every policy isolates for ingress. This one has egress rules and no ingress section, so that its pods can be reached by nobody.";
        fix: "Add policyTypes: [Egress]; or policyTypes: [Ingress, Egress] if ingress is to be closed.";

    NeverInForce "PA004" "never-in-force" Warning:
        "A section that never isolates: policyTypes leaves its direction out";
        why: "Rules count only if policyTypes names their direction, and so does an empty list that is to deny all. Here it does not: the policy isolates nobody in that direction, and restricts nothing.";
        fix: "Name the direction in policyTypes, or remove the section.";

    NearSizeLimit "PA005" "near-size-limit" Warning:
        "A policy that uses up more than half of what a policy may hold";
        why: "A policy with more than 10,000 entries in its lists could not be published. It would isolate, and allow nothing at all (PA007).";
        fix: "Split it: policies with the same podSelector add up. Merge blocks that lie side by side.";

    LargeWhenPublished "PA006" "large-when-published" Warning:
        "A policy that takes more than 50 KB when it is published";
        why: "A policy is published in one piece, and every node with pods of its namespace reads all of it whenever it changes. Above 100 KB the controller warns of it (LargeObject).";
        fix: "Split it: policies with the same podSelector add up. Write ranges of ports in the place of single ones, and merge blocks that lie side by side.";

    OverSizeLimit "PA007" "over-size-limit" Error:
        "A policy that holds more than a policy may";
        why: "A policy with more than 10,000 entries in its lists cannot be published. The API server takes it, but Palisade does not: the policy isolates what it selects, and allows nothing at all.";
        fix: "Split it: policies with the same podSelector add up. Merge blocks that lie side by side, and write ranges of ports in the place of single ones.";

    SubjectSelectsNothing "PA101" "subject-selects-nothing" Warning:
        "The podSelector of the policy selects no pod";
        why: "The policy protects nothing. The pods that it is meant for are as open as before.";
        fix: "Compare podSelector with the labels of the pods: kubectl get pods --show-labels";

    NamespaceEmpty "PA102" "namespace-empty" Info:
        "The policy's namespace has no pods";
        why: "Whether the podSelector is right cannot be told. If pods were expected, the namespace may be the wrong one.";
        fix: "Check metadata.namespace, or include the manifests of the workloads.";

    PeerSelectsNothing "PA103" "peer-selects-nothing" Warning:
        "A peer that selects no pod";
        why: "The entry allows nobody. Whoever it is meant for is kept out, which shows as connections that time out.";
        fix: "Compare the selector with the labels of the pods: kubectl get pods --all-namespaces --show-labels";

    NamespaceSelectsNothing "PA104" "namespace-selects-nothing" Warning:
        "A namespaceSelector that selects no namespace";
        why: "The entry allows nobody. A namespaceSelector looks at the labels of namespaces, not at their names; the name is the label kubernetes.io/metadata.name.";
        fix: "Compare the selector with the labels of the namespaces: kubectl get namespaces --show-labels";

    NamespaceUnknown "PA105" "namespace-unknown" Info:
        "A peer that only namespaces can fulfil that were not read";
        why: "The objects that were read are a part of a cluster. Whether anybody fulfils this peer, and whom it allows there, was not checked.";
        fix: "Include the Namespaces with their labels and their pods, or ask the cluster itself.";

    PeersSplit "PA106" "peers-split" Warning:
        "Two peers where one was meant: a hyphen too many";
        why: "Entries of from and to are alternatives. A namespaceSelector in an entry of its own allows all pods of its namespaces, not only those with the labels that the other entry names.";
        fix: "Put podSelector and namespaceSelector into one entry: remove the second hyphen.";

    PeersJoined "PA107" "peers-joined" Warning:
        "One peer where two were meant: a hyphen too few";
        why: "Within one entry both selectors must match. Here each selects somebody, but nobody fulfils both, so the entry allows nobody.";
        fix: "Give each selector an entry of its own, with a hyphen before it, if either was meant to be enough.";

    SelectorContradiction "PA108" "selector-contradiction" Error:
        "A selector that contradicts itself";
        why: "No labels can ever fulfil it. As podSelector of the policy it protects nothing, as a peer it allows nobody.";
        fix: "Remove one of the requirements. For one label with several values use one matchExpressions entry with operator In.";

    HostNetworkSubject "PA109" "host-network-subject" Warning:
        "The policy is meant for pods on the host's network";
        why: "Policies do not apply to pods with hostNetwork: nothing tells their packets from the node's. They stay open.";
        fix: "Take the pods off the host's network, or protect them with a firewall on the node.";

    HostNetworkPeer "PA110" "host-network-peer" Warning:
        "A peer selects pods on the host's network";
        why: "Packets of pods with hostNetwork have the node's address. No selector matches them, so that this entry does not let them in.";
        fix: "Allow the addresses of the nodes by ipBlock, or take the pods off the host's network.";

    HostNetworkUncovered "PA111" "host-network-uncovered" Info:
        "A policy for the whole namespace does not cover its pods on the host's network";
        why: "Policies do not apply to pods with hostNetwork. Who relies on this policy as the namespace's default should know that they are open.";
        fix: "Keep pods on the host's network in a namespace of their own.";

    PodsUnknown "PA112" "pods-unknown" Info:
        "A selector that only pods can fulfil that were not read";
        why: "No pod that was read has these labels, but the namespace may have others: something in it was skipped that may make pods, an object of a kind that is not known here, or it is kube-system, whose pods come with the cluster. Whether the selector is right cannot be told.";
        fix: "Include the pods themselves (a snapshot has them), or ask the cluster itself.";

    ExceptOutside "PA201" "except-outside" Error:
        "An except that is no part of its block";
        why: "An except takes addresses out of its own cidr. One that lies outside is a mistake, and the API refuses it; the whole block allows nothing.";
        fix: "Correct the except or the cidr. To close addresses of another block, change that block.";

    BlockEmpty "PA202" "block-empty" Warning:
        "Excepts that leave nothing of their block";
        why: "The entry allows nobody.";
        fix: "Remove the entry, or narrow its excepts.";

    BlockCoversPods "PA203" "block-covers-pods" Warning:
        "An ipBlock with addresses of pods in it";
        why: "Addresses of pods change hands: what is allowed to one pod today is allowed to any other tomorrow, whatever its labels. An ipBlock is for addresses outside the cluster.";
        fix: "Select pods by labels. If the block is meant for the outside, take the pods' networks out of it by except.";

    WorldCoversPods "PA204" "world-covers-pods" Info:
        "An ipBlock for the whole internet, with the pods of the cluster in it";
        why: "Everything of an address family includes every pod of the cluster, in every namespace.";
        fix: "If only the outside is meant, take the networks of pods and nodes out by except.";

    BlockCoversNodes "PA205" "block-covers-nodes" Info:
        "An ipBlock with addresses of nodes in it";
        why: "Packets from a node's address come from its daemons, from every pod on the host's network and, through NodePorts, from outside. All of these are allowed.";
        fix: "Nothing, if that is what it is for; otherwise take the nodes out of the block by except.";

    OneFamily "PA206" "one-family" Warning:
        "Everything of one address family, in a cluster that has both";
        why: "0.0.0.0/0 says nothing about IPv6, and ::/0 nothing about IPv4. Clients that prefer the other family wait for a timeout first.";
        fix: "Add the other family's block beside it.";

    BlockOfService "PA207" "block-of-service" Warning:
        "An ipBlock with the address of a Service in it";
        why: "Policies see connections after the Service's address was replaced by that of a pod. An entry for the Service's own address matches nothing.";
        fix: "Select the pods behind the Service by labels. For endpoints outside the cluster, as those of the API server, use their addresses.";

    MetadataOpen "PA208" "metadata-open" Info:
        "Egress to everywhere includes the cloud's metadata service";
        why: "169.254.169.254 hands out credentials of the node to whoever asks, in most clouds.";
        fix: "Add it as an except: 169.254.169.254/32, of ::/0 fd00:ec2::254/128.";

    EndPort "PA301" "end-port" Error:
        "An endPort that makes no range";
        why: "endPort is the last of a range that begins at port: it needs a port that is a number and not above it. The API refuses anything else; the entry allows nothing.";
        fix: "Give the range as port and endPort, both numbers, the lower first.";

    NamedPortUndeclared "PA302" "named-port-undeclared" Warning:
        "A port by a name that no pod declares";
        why: "A name stands for what the destination's containers declare under it (containers[].ports[].name), with the same protocol. Nobody declares this one, so the entry allows nothing.";
        fix: "Use a name that the pods declare, declare it, or write the number.";

    ServicePort "PA303" "service-port" Warning:
        "The port of a Service where that of its pods is needed";
        why: "Policies see connections after the Service's port was replaced by that of the pod. The rule allows the number that clients use, and the pods listen on another.";
        fix: "Write the targetPort of the Service.";

    WholeProtocol "PA304" "whole-protocol" Warning:
        "An entry without a port, beside entries with one";
        why: "A ports entry that names no port allows every port of its protocol. The other entries of that protocol restrict nothing.";
        fix: "Give the entry a port, or remove the others.";

    AllowsEverything "PA401" "allows-everything" Info:
        "A policy that isolates and allows everything";
        why: "One rule without peers and ports opens the direction as a whole, for every pod that the policy selects, whatever other policies say.";
        fix: "Nothing, if that is what it is for; otherwise name peers or ports.";

    RuleShadowed "PA402" "rule-shadowed" Warning:
        "A rule that another rule of the policy makes superfluous";
        why: "Whatever it allows is allowed already. Who tightens it later changes nothing.";
        fix: "Remove it, or narrow the other one.";

    RuleShadowedElsewhere "PA403" "rule-shadowed-elsewhere" Info:
        "A rule that another policy for the same pods makes superfluous";
        why: "Policies add up: whatever the rule allows is allowed already by the other policy. Who tightens it later changes nothing.";
        fix: "Remove the rule, or narrow the other policy.";

    PeerShadowed "PA404" "peer-shadowed" Info:
        "A peer that another peer of the rule makes superfluous";
        why: "Entries of from and to add up: whoever it allows is allowed already.";
        fix: "Remove it, or narrow the other one.";

    DuplicatePolicy "PA405" "duplicate-policy" Warning:
        "Two policies that say the same";
        why: "Who changes or removes one of them is surprised that the other still allows what it allowed.";
        fix: "Keep one of them.";

    OtherEnd "PA406" "closed-at-other-end" Warning:
        "A peer that the policies at the other end keep out";
        why: "A connection needs both: egress of its source and ingress of its destination. This side allows it, the other side's policies do not, so that nothing passes.";
        fix: "Allow the connection in a policy for the pods at the other end too.";

    OpenIngress "PA501" "open-ingress" Info:
        "A namespace without a default that denies ingress";
        why: "A pod that no policy selects can be reached by everybody, and so can one whose policy allows everything. Without a policy that denies, for all pods of the namespace, every new workload starts that way.";
        fix: "Have a policy with podSelector: {}, policyTypes: [Ingress] and no rules, none that allows everything, and allow from there.";

    OpenEgress "PA502" "open-egress" Info:
        "A namespace without a default that denies egress";
        why: "A pod that no policy selects for egress can reach everything, and so can one whose policy allows everything, which is what somebody needs who has taken it over.";
        fix: "Have a policy with podSelector: {}, policyTypes: [Egress] and no rules, none that allows everything; allow DNS and what is needed from there.";

    NoDns "PA503" "egress-without-dns" Warning:
        "Pods that may connect to others, but not to DNS";
        why: "Isolated for egress, they reach what the policies name only if they can resolve its name. Without port 53 every connection by name fails, after a timeout.";
        fix: "Allow egress to the pods of the cluster's DNS (k8s-app: kube-dns in kube-system) on port 53, UDP and TCP.";

    DnsOverUdpOnly "PA504" "dns-over-udp-only" Info:
        "DNS is allowed over UDP only";
        why: "Answers that are too long for UDP are asked for again over TCP. Names with many addresses then fail to resolve, now and again.";
        fix: "Allow port 53 for TCP as well.";

    SourceLost "PA601" "source-lost" Warning:
        "Rules by outside addresses, for pods behind a Service that hides them";
        why: "With externalTrafficPolicy Cluster a connection from outside that enters at another node has that node's address when it reaches the pod. Rules by ipBlock of clients do not match it.";
        fix: "Set externalTrafficPolicy: Local on the Service, or allow the addresses of the nodes on the same port.";

    ServicePortClosed "PA602" "service-port-closed" Warning:
        "A port of a Service that nobody may reach";
        why: "The policies of all of its pods allow other things, but this port to nobody at all.";
        fix: "Allow ingress to the pods on the Service's targetPort, or take the port out of the Service.";

    ServiceClosed "PA603" "service-closed" Info:
        "A Service that nobody may reach";
        why: "All of its pods are isolated for ingress and no policy allows anything to them.";
        fix: "Nothing, if that is meant; otherwise add a policy that allows its clients.";
}
