-- The statements of connected_components as this warehouse gets them, one after the other, for reading and for checking
-- that they parse.
{%- set graph, limits = ref('identity_graph'), ref('identifier_rules') %}

{{ cdi.component_sets('select * from ' ~ ref('identifier_sets'), '2026-01-01 00:00:00', 0) }};

{{ cdi.component_slots('select * from ' ~ ref('identifier_sets'), 'cdi_sets') }};

{{ cdi.component_found('cdi_slots', graph) }};

{{ cdi.component_touched('cdi_found', graph) }};

{{ cdi.component_placed('cdi_slots', 'cdi_found', 'cdi_touched') }};

{{ cdi.component_links('cdi_placed') }};

{{ cdi.component_alone('cdi_found', 'cdi_touched') }};

{{ cdi.component_pointers('cdi_edges') }};

{{ cdi.component_jump('cdi_moving', 'cdi_arrived') }};

{{ cdi.component_moved('cdi_moving', true) }};

{{ cdi.component_roots('cdi_roots', 'cdi_pointers') }};

{{ cdi.component_contracted('cdi_edges', 'cdi_pointers', with_order=false) }};

{{ cdi.component_limits(limits) }};

{{ cdi.component_counts('cdi_found', 'cdi_sets', 'cdi_touched', graph, 'cdi_limits', has_windows=true, is_full=false) }};

{{ cdi.component_broken('cdi_counts', 'cdi_roots') }};

{{ cdi.component_reopened('cdi_roots', 'cdi_broken') }};

{{ cdi.component_open_links('cdi_links', 'cdi_split') }};

{{ cdi.component_split_counts('cdi_counts', 'cdi_split') }};

{{ cdi.component_relevant_counts('cdi_split_counts', 'cdi_broken') }};

{{ cdi.component_refused('cdi_open', 'cdi_relevant') }};

{{ cdi.component_remaining('cdi_open', 'cdi_refused') }};

{{ cdi.component_earliest('cdi_open', 'cdi_relevant') }};

{{ cdi.component_accepted('cdi_open', 'cdi_earliest') }};

{{ cdi.component_grounded('cdi_accepted') }};

{{ cdi.component_contracted('cdi_open', 'cdi_pointers') }};

{{ cdi.component_summed('cdi_relevant', 'cdi_pointers') }};

{{ cdi.component_parts('cdi_split') }};

{{ cdi.component_final('cdi_roots', 'cdi_parts') }};

{{ cdi.component_mixed('cdi_placed', 'cdi_final') }};

{{ cdi.component_mixed_slots('cdi_placed', 'cdi_final', 'cdi_mixed') }};

{{ cdi.component_vertices('cdi_mixed_slots') }};

{{ cdi.component_births('cdi_mixed_slots') }};

{{ cdi.component_merge_links('cdi_mixed_slots', 'cdi_births', 'cdi_vertices') }};

{{ cdi.component_picks('cdi_merge_links') }};

{{ cdi.component_profiles('cdi_final', 'cdi_found', 'cdi_touched') }};

{{ cdi.component_refused_seqs('cdi_placed', 'cdi_parts') }};

{{ cdi.component_decisions('cdi_placed', 'cdi_found', 'cdi_sets', 'cdi_refused_seqs', 'cdi_merge_seqs') }};

{{ cdi.component_insert_decisions(cdi.decisions_of(graph), 'cdi_decided') }};

{{ cdi.component_absorbed('cdi_touched', 'cdi_final', 'cdi_profiles') }};

{{ cdi.component_merge(graph, 'cdi_absorbed') }};

{{ cdi.component_first_profiles('cdi_births', 'cdi_found') }};

{{ cdi.component_insert(graph, 'cdi_found', 'cdi_sets', 'cdi_final', 'cdi_profiles', 'cdi_first_profiles') }};
