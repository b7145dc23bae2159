"""The packaged folder, written and read: Parquet shards by config, split and domain, the card, and a manifest.

    README.md                                   the card; its YAML is all that `load_dataset` needs
    manifest.json                               every file with rows, bytes and sha256
    CONFIG/SPLIT/DOMAIN-00000.parquet           one dialogue a row, sorted by id
    CONFIG-turns/SPLIT/DOMAIN-00000.parquet     the same, one turn a row
    index/CONFIG.parquet                        where every clip lies
    figures/NAME.png                            what the card shows, where matplotlib was installed
    croissant.json                              the same for machines that know no `datasets`

The files of this folder: `manifest`, `shards`, `index`, `rows` of a run or a dataset, `validation`, `export` for speech tools,
`croissant`, and `reader`, which streams subsets. Law of the folder: it knows no model and no server.
"""
