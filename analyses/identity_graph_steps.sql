-- The statements of the identity graph as this warehouse gets them, one after the other, for reading and for checking
-- that they parse; the names of the work tables are those of the first round.
{%- set graph = ref('identity_graph') %}

{{ cdi.identity_found('cdi_links', graph) }};

{{ cdi.identity_vertices('cdi_found', graph) }};

{{ cdi.identity_edges('cdi_links', 'cdi_found', 'cdi_vertices') }};

{{ cdi.identity_pointers('cdi_edges_0') }};

{{ cdi.identity_jump('cdi_pointers_1_0') }};

{{ cdi.identity_roots('cdi_roots_0', 'cdi_pointers_1_1') }};

{{ cdi.identity_contracted('cdi_edges_0', 'cdi_pointers_1_1') }};

{{ cdi.identity_joined('cdi_vertices', 'cdi_roots_1') }};

{{ cdi.identity_merge(graph, 'cdi_joined') }};

{{ cdi.identity_insert(graph, 'cdi_found', 'cdi_joined') }};
