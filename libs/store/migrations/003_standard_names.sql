-- Standard names: confirmations (was folds), key_values (was facts), token_buckets (was buckets), type of an asset (was sort).
ALTER TABLE folds RENAME TO confirmations;
ALTER INDEX folds_pkey RENAME TO confirmations_pkey;
ALTER TABLE confirmations RENAME CONSTRAINT folds_monitor_id_fkey TO confirmations_monitor_id_fkey;

ALTER TABLE facts RENAME TO key_values;
ALTER INDEX facts_pkey RENAME TO key_values_pkey;

ALTER TABLE buckets RENAME TO token_buckets;
ALTER INDEX buckets_pkey RENAME TO token_buckets_pkey;

ALTER TABLE assets RENAME COLUMN sort TO type;
ALTER INDEX assets_tenant_id_dialect_sort_number_key RENAME TO assets_tenant_id_dialect_type_number_key;
ALTER INDEX assets_tenant_id_dialect_sort_identity_key RENAME TO assets_tenant_id_dialect_type_identity_key;
ALTER TABLE asset_numbers RENAME COLUMN sort TO type;
