//! The model's budgets for cloud cost.

use async_trait::async_trait;

use super::Memory;
use crate::{CloudBudget, CloudBudgets, CloudEvent, Notice, StoreError};

#[async_trait]
impl CloudBudgets for Memory {
    async fn put_cloud(&self, budget: CloudBudget) -> Result<CloudBudget, StoreError> {
        let mut tables = self.lock();
        let before = tables.cloud_budgets.get(&budget.name);
        let budget = budget.after(before);
        tables.cloud_budgets.insert(budget.name.clone(), budget.clone());
        Ok(budget)
    }

    async fn remove_cloud(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.lock().cloud_budgets.remove(name).is_some())
    }

    async fn cloud_budgets(&self) -> Result<Vec<CloudBudget>, StoreError> {
        Ok(self.lock().cloud_budgets.values().cloned().collect())
    }

    async fn tell_cloud(&self, events: Vec<CloudEvent>) -> Result<u64, StoreError> {
        let mut tables = self.lock();
        let told = events.into_iter().filter(|event| tables.tell(Notice::Cloud(event.clone())));
        Ok(told.count() as u64)
    }
}
