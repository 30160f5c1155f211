//! The store's side of its protocol: a request comes in, is carried out, and answered.
//!
//! Invariant: every request is answered; what is wrong with one is said as a problem, with the fix.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use sc_metadata::TenantId;
use sc_proto::coder::{self, call::Call};
use sc_proto::storage::{self, operation::Operation as Kind};
use sc_proto::store::problem::Code;
use sc_proto::store::{self as message, reply::Reply, request::Request};
use sc_transport::{Frame, Handler, PeerKey};

use crate::error::Problem;
use crate::get::Answer;
use crate::put::unexpected;
use crate::store::{Store, id};

/// Answers the requests of clients with one store.
pub struct Service(pub Arc<Store>);

impl Handler for Service {
    async fn handle(&self, _peer: PeerKey, request: Frame) -> Frame {
        self.0.answer(request).await
    }
}

impl Store {
    /// Carries out one request of a client.
    pub async fn answer(&self, request: Frame) -> Frame {
        let (reply, attachments) = match self.dispatch(request).await {
            Ok(answer) => answer,
            Err(Problem { code, message }) => {
                tracing::debug!(?code, message, "a request was not done");
                let retry_after_ms = u64::from(code == Code::Unavailable) * 1000;
                let problem = message::Problem {
                    code: code.into(),
                    message,
                    retry_after_ms,
                };
                (Reply::Problem(problem), Vec::new())
            }
        };
        let reply = message::Reply { reply: Some(reply) };
        let mut frame = Frame::new(reply.encode_to_vec());
        frame.attachments = attachments;
        frame
    }

    async fn dispatch(&self, frame: Frame) -> Result<(Reply, Vec<Bytes>), Problem> {
        let request = message::Request::decode(frame.head)
            .ok()
            .and_then(|request| request.request)
            .ok_or_else(|| Problem::malformed("the request does not decode"))?;
        match request {
            Request::Operation(request) => {
                let (done, chunks) = self.operate(&request, &frame.attachments).await?;
                Ok((Reply::Done(done), chunks))
            }
            Request::OpenSession(request) => {
                let session = request.session;
                let session = session.ok_or_else(|| Problem::malformed("an empty session"))?;
                let tenant = TenantId(id(&session.tenant, "a tenant")?);
                let call = Call::OpenSession(session);
                match self.coders.call(tenant, call, &[]).await?.0 {
                    coder::reply::Reply::Sealed(sealed) => Ok((Reply::Session(sealed), Vec::new())),
                    _ => Err(unexpected()),
                }
            }
            Request::Describe(describe) => {
                let tenant = TenantId(id(&describe.tenant, "a tenant")?);
                let coders = self.coders.describe(tenant).await;
                Ok((Reply::Described(message::Described { coders }), Vec::new()))
            }
            Request::Provision(provision) => {
                let step = self.provision(provision).await?;
                let provisioning = message::Provisioning { step: Some(step) };
                Ok((Reply::Provisioning(provisioning), Vec::new()))
            }
        }
    }

    async fn provision(
        &self,
        provision: message::Provision,
    ) -> Result<message::provisioning::Step, Problem> {
        use message::{provision::Step, provisioning::Step as Answer};
        let step = provision
            .step
            .ok_or_else(|| Problem::malformed("an empty step of provisioning"))?;
        let call = match step {
            Step::Challenge(challenge) => Call::Challenge(challenge),
            Step::Secrets(secrets) => Call::Secrets(secrets),
            Step::Advance(advance) => Call::Advance(advance),
        };
        match self.coders.call_named(&provision.coder, call).await? {
            coder::reply::Reply::Offer(offer) => Ok(Answer::Offer(offer)),
            coder::reply::Reply::Provisioned(it) => Ok(Answer::Provisioned(it)),
            coder::reply::Reply::Advanced(it) => Ok(Answer::Advanced(it)),
            _ => Err(unexpected()),
        }
    }

    async fn operate(&self, request: &coder::Request, blocks: &[Bytes]) -> Result<Answer, Problem> {
        let operation = storage::Operation::decode(request.operation.clone())
            .map_err(|_| Problem::malformed("the operation does not decode"))?;
        let tenant = TenantId(id(&operation.tenant, "a tenant")?);
        let kind = operation
            .operation
            .ok_or_else(|| Problem::malformed("an empty operation"))?;
        self.rebuilding.admit(&kind)?;
        let done = match &kind {
            Kind::GetObject(it) => return self.get_object(tenant, request, it).await,
            Kind::PutObject(it) => self.put_object(tenant, request, it, blocks).await,
            Kind::PutSegment(it) => self.put_segment(tenant, request, it, blocks).await,
            Kind::CommitObject(it) => self.commit_object(tenant, request, it).await,
            Kind::AbandonObject(it) => self.abandon_object(tenant, request, it).await,
            Kind::ListObjects(it) => self.list_objects(tenant, request, it).await,
            Kind::DeleteObject(it) => self.delete_object(tenant, request, it).await,
            Kind::StatObject(it) => self.stat_object(tenant, request, it).await,
            Kind::CreateUpload(it) => self.create_upload(tenant, request, it).await,
            Kind::CommitPart(it) => self.commit_part(tenant, request, it).await,
            Kind::CompleteUpload(it) => self.complete_upload(tenant, request, it).await,
            Kind::ListUploads(it) => self.list_uploads(tenant, request, it).await,
            Kind::ListParts(it) => self.list_parts(tenant, request, it).await,
            Kind::SearchObjects(it) => self.search_objects(tenant, request, it).await,
            other => self.administer(tenant, request, other).await,
        };
        Ok((done?, Vec::new()))
    }

    async fn administer(
        &self,
        tenant: TenantId,
        request: &coder::Request,
        kind: &Kind,
    ) -> Result<message::Done, Problem> {
        match kind {
            Kind::CreateDatastore(it) => self.create_datastore(tenant, request, it).await,
            Kind::UpdateDatastore(it) => self.update_datastore(tenant, request, it).await,
            Kind::DeleteDatastore(it) => self.delete_datastore(tenant, request, it).await,
            Kind::ListDatastores(_) => self.list_datastores(tenant, request).await,
            Kind::PutPolicy(it) => self.put_policy(tenant, request, it).await,
            Kind::ListPolicies(_) => self.list_policies(tenant, request).await,
            Kind::PutLocation(it) => self.put_location(tenant, request, it).await,
            Kind::ListLocations(_) => self.list_locations(tenant, request).await,
            Kind::PutJob(it) => self.put_job(tenant, request, it).await,
            Kind::ListJobs(it) => self.list_jobs(tenant, request, it).await,
            Kind::CancelJob(it) => self.cancel_job(tenant, request, it).await,
            Kind::GetUsage(_) => self.get_usage(tenant, request).await,
            Kind::PutRecord(it) => self.put_record(tenant, request, it).await,
            Kind::GetRecord(it) => self.get_record(tenant, request, it).await,
            Kind::ListRecords(it) => self.list_records(tenant, request, it).await,
            Kind::DeleteRecord(it) => self.delete_record(tenant, request, it).await,
            Kind::RebuildCatalogue(it) => self.rebuild_catalogue(tenant, request, it).await,
            Kind::RewrapDatastores(_) => self.rewrap_datastores(tenant, request).await,
            _ => Err(Problem::malformed(
                "an operation that this store does not know",
            )),
        }
    }
}
