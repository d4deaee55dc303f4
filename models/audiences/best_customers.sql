-- Customers who order most recently, most often and for most: the champions of the RFM segments.

{{ cdi.audience(
    all=[cdi.trait('rfm_segment', equals='champions')],
    columns=['email', 'first_name', 'count_orders', 'net_revenue', 'net_revenue_percentile', 'favourite_brand']
) }}
