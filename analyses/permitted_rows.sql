-- What the materialization of activation models makes of a model's SQL, for reading and for checking that it parses.
{{ cdi.permitted_rows('select profile_id, email from ' ~ ref('newsletter_subscribers'), 'file') }}
