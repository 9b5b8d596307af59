-- A tenant's own batches, listed by when they were made.
create index vendor_batch_tenant on vendor_batch (tenant_id, created_at, batch_id);
