-- Two patients, one instance deleted, a remote AE, a job and two accounts: the index as a release with
-- nine migrations kept it, filled by its own commands and read out by `quote_nullable(column::text)`.
INSERT INTO account (account_id, login, kind, roles, handle, passphrase, created_at, enrolled_at, disabled_at)
OVERRIDING SYSTEM VALUE VALUES
('1', 'admin', 'person', '{system-administrator,archive-administrator}', E'\\xaff65ad0c9baf855944ecfee7301ca6465fcacec5ca4feaaa80c7be5b0cf3892', NULL, '2026-11-23 17:00:21.766583+00', NULL, NULL),
('2', 'ada', 'person', '{auditor}', E'\\x8e8d3f5f539e19033683b33fa1c1862d15540a3a0b64d46723399f6a1c5c7a05', NULL, '2026-11-23 17:00:31.963256+00', NULL, NULL),
('3', 'gateway', 'service', '{service}', E'\\xd54201abf24a65623c7b3d12bc661e81e71fc48aed1a78fe9994472da16b6ec5', NULL, '2026-11-23 17:00:34.363932+00', NULL, NULL);
INSERT INTO invitation (account_id, kind, secret_hash, created_at, ends_at)
OVERRIDING SYSTEM VALUE VALUES
('1', 'person', E'\\x2019719f75bfe1a3767b4c57c4bbe5e23a95c0f64d0769b0ea1b28dd5d78973c', '2026-11-23 17:00:21.772145+00', '2026-11-24 17:00:21.772145+00'),
('2', 'person', E'\\x447ef08482b2610b3df6fdcf0b1d6329d597e90389e20974a335d0c88e31e84b', '2026-11-23 17:00:32.00859+00', '2026-11-24 17:00:32.00859+00');
INSERT INTO api_token (token_id, account_id, kind, name, secret_hash, actions, created_at, ends_at, revoked_at)
OVERRIDING SYSTEM VALUE VALUES
('1', '3', 'service', 'nightly', E'\\x447e530b6a701b14ea0fb25cf007aabe92d13e507e31fd3907cf7be321058814', NULL, '2026-11-23 17:00:37.882573+00', '2027-02-21 17:00:37.882573+00', NULL);
INSERT INTO archive (only_one, id, indexed_at)
OVERRIDING SYSTEM VALUE VALUES
('true', '01a20959-e997-7329-a0a0-ee74fca2972b', '2026-11-23 17:00:21.719737+00');
INSERT INTO patient (patient_pk, issuer, patient_id, study_uid)
OVERRIDING SYSTEM VALUE VALUES
('1', 'LOCAL', 'P-0001', ''),
('2', 'LOCAL', '4712', '');
INSERT INTO study (study_pk, study_uid, patient_pk, variant, issuer, patient_id, patient_name, patient_codes, birth_date, sex, study_date, study_time, accession, study_id, referring, referring_codes, description, fold_version, terms, answer)
OVERRIDING SYSTEM VALUE VALUES
('1', '2.25.4711.1', '1', '7931797642205980110', 'LOCAL', 'P-0001', '=doe^jane===', '{0:jn,0:t}', '1970-01-01', 'F', '2024-01-02', '10:11:12', 'A-0001', 'S-1', '=ref^erring===', '{0:arnk,0:rf}', 'Chest', '1', '{}', '{"00080020":{"vr":"DA","Value":["20240102"]},"00080030":{"vr":"TM","Value":["101112"]},"00080050":{"vr":"SH","Value":["A-0001"]},"00080090":{"vr":"PN","Value":[{"Alphabetic":"Ref^Erring"}]},"00081030":{"vr":"LO","Value":["Chest"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^Jane"}]},"00100020":{"vr":"LO","Value":["P-0001"]},"00100030":{"vr":"DA","Value":["19700101"]},"00100040":{"vr":"CS","Value":["F"]},"0020000D":{"vr":"UI","Value":["2.25.4711.1"]},"00200010":{"vr":"SH","Value":["S-1"]},"00100021":{"vr":"LO","Value":["LOCAL"]}}'),
('3', '2.25.4711.2', '2', '303113013878814904', 'LOCAL', '4712', '=doe^john===', '{0:jn,0:t}', '1970-01-01', 'F', '2024-01-02', '10:11:12', 'A-0001', 'S-1', '=ref^erring===', '{0:arnk,0:rf}', 'Chest', '1', '{}', '{"00080020":{"vr":"DA","Value":["20240102"]},"00080030":{"vr":"TM","Value":["101112"]},"00080050":{"vr":"SH","Value":["A-0001"]},"00080090":{"vr":"PN","Value":[{"Alphabetic":"Ref^Erring"}]},"00081030":{"vr":"LO","Value":["Chest"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"Doe^John"}]},"00100020":{"vr":"LO","Value":["4712"]},"00100030":{"vr":"DA","Value":["19700101"]},"00100040":{"vr":"CS","Value":["F"]},"0020000D":{"vr":"UI","Value":["2.25.4711.2"]},"00200010":{"vr":"SH","Value":["S-1"]},"00100021":{"vr":"LO","Value":["LOCAL"]}}');
INSERT INTO study_state (study_pk, instances, series, size, modalities, sop_classes, first_us, first_blob, revision, changed_at)
OVERRIDING SYSTEM VALUE VALUES
('1', '1', '1', '2839', '{CT}', '{1.2.840.10008.5.1.4.1.1.2}', '1795453225885129', E'\\x01a2095a0b9d71e3bacf65f3d82b0a49', '3', '2026-11-23 17:00:46.566379+00'),
('3', '1', '1', '2845', '{CT}', '{1.2.840.10008.5.1.4.1.1.2}', '1795453225912341', E'\\x01a2095a0bb87534bca0ac913bf70090', '1', '2026-11-23 17:00:26.002818+00');
INSERT INTO series (series_pk, study_pk, series_uid, variant, modality, series_number, description, body_part, laterality, step_date, step_time, fold_version, terms, answer)
OVERRIDING SYSTEM VALUE VALUES
('1', '1', '2.25.4711.1.1', '4499712522019203748', 'CT', '1', 'Axial 5 mm', 'CHEST', NULL, NULL, NULL, '1', '{"00080070": ["Example"], "00080080": ["Example Hospital"]}', '{"00080060":{"vr":"CS","Value":["CT"]},"00080070":{"vr":"LO","Value":["Example"]},"00080080":{"vr":"LO","Value":["Example Hospital"]},"0008103E":{"vr":"LO","Value":["Axial 5 mm"]},"00180015":{"vr":"CS","Value":["CHEST"]},"0020000E":{"vr":"UI","Value":["2.25.4711.1.1"]},"00200011":{"vr":"IS","Value":[1]}}'),
('3', '3', '2.25.4711.2.1', '-3718551213394348440', 'CT', '1', 'Axial 5 mm', 'CHEST', NULL, NULL, NULL, '1', '{"00080070": ["Example"], "00080080": ["Example Hospital"]}', '{"00080060":{"vr":"CS","Value":["CT"]},"00080070":{"vr":"LO","Value":["Example"]},"00080080":{"vr":"LO","Value":["Example Hospital"]},"0008103E":{"vr":"LO","Value":["Axial 5 mm"]},"00180015":{"vr":"CS","Value":["CHEST"]},"0020000E":{"vr":"UI","Value":["2.25.4711.2.1"]},"00200011":{"vr":"IS","Value":[1]}}');
INSERT INTO series_state (series_pk, instances, size, sop_classes, first_us, first_blob, revision, changed_at)
OVERRIDING SYSTEM VALUE VALUES
('1', '1', '2839', '{1.2.840.10008.5.1.4.1.1.2}', '1795453225885129', E'\\x01a2095a0b9d71e3bacf65f3d82b0a49', '3', '2026-11-23 17:00:46.566379+00'),
('3', '1', '2845', '{1.2.840.10008.5.1.4.1.1.2}', '1795453225912341', E'\\x01a2095a0bb87534bca0ac913bf70090', '1', '2026-11-23 17:00:26.002818+00');
INSERT INTO modality (modality)
OVERRIDING SYSTEM VALUE VALUES
('CT');
INSERT INTO instance (instance_pk, series_pk, sop_instance_uid, current, reason, created_us, blob_id, digest, key_id, key_version, size, study_variant, series_variant, sop_class_uid, transfer_syntax_uid, instance_number, content_date, content_time, image_rows, image_columns, bits_allocated, frames, changed_at, flags, terms, answer)
OVERRIDING SYSTEM VALUE VALUES
('2', '1', '2.25.4711.1.1.1', 'true', '', '1795453225885129', E'\\x01a2095a0b9d71e3bacf65f3d82b0a49', E'\\xdc9bc270b1a2fc5283d63aaaa6f602cae887289fdc5b7fb3d2edf59e1ca81feb', E'\\x01a2095a0b9974099f484ed09b06aefb', '1', '2839', '7931797642205980110', '4499712522019203748', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', '1', '2024-01-02', '10:11:13.5', '16', '16', '16', NULL, '2026-11-23 17:00:26.002818+00', NULL, '{"00280004": ["MONOCHROME2"]}', '{"00080023":{"vr":"DA","Value":["20240102"]},"00080033":{"vr":"TM","Value":["101113.5"]},"00200013":{"vr":"IS","Value":[1]},"00280004":{"vr":"CS","Value":["MONOCHROME2"]},"00280010":{"vr":"US","Value":[16]},"00280011":{"vr":"US","Value":[16]},"00280100":{"vr":"US","Value":[16]}}'),
('3', '3', '2.25.4711.2.1.1', 'true', '', '1795453225912341', E'\\x01a2095a0bb87534bca0ac913bf70090', E'\\x1f52ac21b37029a6d2e2fe31f04195f9bcd17fb76dea8e9e112d7c5bbefb1837', E'\\x01a2095a0bb37ca185ba4cb4f64bdc97', '1', '2845', '303113013878814904', '-3718551213394348440', '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1', '1', '2024-01-02', '10:11:13.5', '16', '16', '16', NULL, '2026-11-23 17:00:26.002818+00', NULL, '{"00280004": ["MONOCHROME2"]}', '{"00080023":{"vr":"DA","Value":["20240102"]},"00080033":{"vr":"TM","Value":["101113.5"]},"00200013":{"vr":"IS","Value":[1]},"00280004":{"vr":"CS","Value":["MONOCHROME2"]},"00280010":{"vr":"US","Value":[16]},"00280011":{"vr":"US","Value":[16]},"00280100":{"vr":"US","Value":[16]}}');
INSERT INTO instance_blob (instance_pk, header, payload_len, checksum, pixel_tag, pixel_vr, pixel_offset, pixel_length, frame_count, frame_table, bulk, group2, preamble, received_at, proto, calling_ae, called_ae, address, principal, charset)
OVERRIDING SYSTEM VALUE VALUES
('2', E'\\x89564e420d0a1a0a010110010100000001a2095a0b9d71e3bacf65f3d82b0a4901a20959e9977329a0a0ee74fca2972b01a2095a0b9974099f484ed09b06aefb00000001000660f487bd5dc901a20959e9d27149894e60fc94d293dc00000000000000000000000000000000000000000000000000000000000000000000000010c2ddf968011db94844279bba7971c04e28c206231f4892259ebe01968f291886a2425232ff3c185f42903c53890d8598f7d74cef835b573e7fc39eea49a0f6fc602562426774facb467e205ce2358c6d85c4e57ee636e136aae736', '1134', E'\\x1f5596ac5f93151f6e4b400e7b5d6df2e7bb8c91e9d92949e3645afea8d601a3', '7FE00010', 'OW', '622', '512', '1', E'\\x7b226b696e64223a226e6174697665222c226f6666223a3632322c226c656e223a3531322c226e223a317d', NULL, E'\\x02000000554c0400b6000000020001004f4200000200000000010200020055491a00312e322e3834302e31303030382e352e312e342e312e312e32000200030055491000322e32352e343731312e312e312e31000200100055491400312e322e3834302e31303030382e312e322e31000200120055492c00322e32352e3233313933363432313237303431353932373133343731313830333132373230363138373330310200130053480600564e415f31200200160041450800464143544f525920', E'\\x', '2026-11-23 17:00:25.880109+00', 'import', NULL, NULL, NULL, 'import:root', 'ISO_IR 100'),
('3', E'\\x89564e420d0a1a0a010110010100000001a2095a0bb87534bca0ac913bf7009001a20959e9977329a0a0ee74fca2972b01a2095a0bb37ca185ba4cb4f64bdc9700000001000660f487bdc81501a20959e9d27149894e60fc94d293dc000000000000000000000000000000000000000000000000000000000000000000000000d51fdc9ef516df3d1ab1cf2021f4db712f8e0183822887c606ad5d40a4909b6a6352b6973b34c76b7cf599089f957352c8874f882b0dbc96e84730d151091e32dea06c115bc75270ee44caa56a9990f7fba1667ad63c27ba98ec600f', '1132', E'\\xe94a979b8fdb2c2846175ad15eb52ea4793c7cf4951fcd978a1ce068ed034422', '7FE00010', 'OW', '620', '512', '1', E'\\x7b226b696e64223a226e6174697665222c226f6666223a3632302c226c656e223a3531322c226e223a317d', NULL, E'\\x02000000554c0400b6000000020001004f4200000200000000010200020055491a00312e322e3834302e31303030382e352e312e342e312e312e32000200030055491000322e32352e343731312e322e312e31000200100055491400312e322e3834302e31303030382e312e322e31000200120055492c00322e32352e3233313933363432313237303431353932373133343731313830333132373230363138373330310200130053480600564e415f31200200160041450800464143544f525920', E'\\x', '2026-11-23 17:00:25.907338+00', 'import', NULL, NULL, NULL, 'import:root', 'ISO_IR 100');
INSERT INTO instance_json (instance_pk, deriver, dict_id, sealed)
OVERRIDING SYSTEM VALUE VALUES
('2', '1', '0', E'\\x018c536fcc18d5ef61b6fe218a028fbb5979d2c709137e21be4fd4c04afd77ceb4bdc9056ca65b971876156587a56a12663a29a73517cd5f8c25faeec64dd38325f080e4eb12bb4e1f093583f8a5b8fa1044ebcf178a69e2b02ae65b46473f01c0b1b62c212ab86117388c27d51d7755670ce2dbf615b98698f7618fd1c1b565cc41d7e74cffca51e059608730cad50c71ceeb82945a45b5951f8ea49c06e9ad3e83c7f38fdde359794ba9be7245c9b87f144318d94b9e03d3568d81e16269fb7eca69d2c842dc279d22c77f8e09f4ceb4cae95a0a98576f1c3c7097509c06733892bfcb2938416932ae72bace8bc9a37dbca141063133f891d2731e007f70e4f0d39c9e268a8c411c2e8fd33cd8321870664c63a792b7ed4724a7bf25d04bb536e0c2306de5e79c83e15674840035b8b4eb5e404a25cea96729944ead74394a9a4aee2edf8b15c8ef742aeab6f23936df7bd970071a272233c7b6d4161edb09643fa84ecb0c704f774154440e4625a267a4dae2acfc49d91049849d20fa941a7388b87f06f0ae56d2301d6b9785abf58a695baf292a34650f4b6fd0733f8cba5b061a3aae54ed2cc3b83339e36e5b026a8d1801aec99a48799909ae874d7b5eeb5027b15f041916fa2bfd31fa626b6de87f289a337183bdfcc83890a2f5e66832cc2c6ba76681a26bfa96ad3d1ae7865663c04c6f8ea4a2b5395edc5cbbcae6c1b7d0c3e410b40b38e5082bcd409661094154111d91bbacd55b5748f159c8'),
('3', '1', '0', E'\\x01bf63787ffa5014df1ef663367fd01dd3e8d8f187b5d4ba006bebdaf82af2bbfca8dc1f81c931081cdabfac830a00528f6da8a870832fef305ea1c21286fff815caa2a2ac1d652fb5e22db59dd1271a1c71334d7456e2f64814ca2be5fdc4922d30563efd4c5c81569086e41ec655f7f6796b8a276354adb2c3bf562fb3b706d59ea6b985443272b390bb2d85cc7f0fdce9042bff5482e873446358f87b6fc77f3271326cad25e3448c8ca7b8f921c05a4e050d12af154c02dbac05780485c585d8f4f48cea8bdc6ddd67b4c4262d0a6f9d17fd0b550997763c7144d7f290f83054ca29bdbef53e4b8202c76c24d9394de0a98ba0652112a3045feddbed1ce91a3b4aff0075164d7514597792ea86a86f1463d1474611bb43f36e50eb2ef5991e6c661cb4d299df5fabb0061485c8323c57d550760062c55ebd2985e3a820ee8facb8e72d0464d7020dcbbf5d1fed047c768a5477c01bb56db19550be542928784805bed72559820f9f9d705b8521f3f870e08118ecc7e7cb10cf5907227a524ff1ae2632c9d3aeb6b6b9e7e96dca34d63402f93e737c89f467873f380013cfb46d61ead392d52d941fff5d19706da945bde4b4568fc9d095c5b01060f7eee28e51dbfcc7f9313f243b370f6c0a347a8f6dc21b2762feaf20b55a2073c6e499bebaef8f876b3e71846f122fa6eb5d6cbedc2049aabbb9fb2585b4c4a8c25cd1284196713ae1992622306de7446a9014b021ed974f2c8cbdddd7ebbabf3cf32cb150432d0cf9');
INSERT INTO searchable (path, vr, level, added_at, ready_at)
OVERRIDING SYSTEM VALUE VALUES
('00104000', 'LT', 'PATIENT', '2026-11-23 17:00:50.224186+00', '2026-11-23 17:00:52.371536+00');
INSERT INTO searchable_fill (only_one, reached, newest, begun_at, ready_at, unreadable)
OVERRIDING SYSTEM VALUE VALUES
('true', '0', '3', '2026-11-23 17:00:50.224186+00', '2026-11-23 17:00:52.371536+00', '0');
INSERT INTO deletion (deletion_id, deleted_at, due_at, actor, study_uid, series_uid, sop_instance_uid, purging_at, purged_at)
OVERRIDING SYSTEM VALUE VALUES
(E'\\x01a2095a5c4a732b85a86ebf5d73aecf', '2026-11-23 17:00:46.538+00', '2026-12-23 17:00:46.538+00', 'shell:root', '2.25.4711.1', '2.25.4711.1.1', '2.25.4711.1.1.2', NULL, NULL);
INSERT INTO deleted_instance (deletion_id, blob_id, key_id, size, study_uid, series_uid, sop_instance_uid)
OVERRIDING SYSTEM VALUE VALUES
(E'\\x01a2095a5c4a732b85a86ebf5d73aecf', E'\\x01a2095a0ba976a699b4a0fb7e877463', E'\\x01a2095a0b9974099f484ed09b06aefb', '2839', '2.25.4711.1', '2.25.4711.1.1', '2.25.4711.1.1.2');
INSERT INTO journal_entry (entry_id, op, applied_at)
OVERRIDING SYSTEM VALUE VALUES
(E'\\x01a2095a5c4a7ad18a45429bc91e3a5c', 'delete', '2026-11-23 17:00:46.566379+00');
INSERT INTO remote (ae_title, host, port, tls, may_store, may_find, may_move, destinations, character_set, transfer_syntaxes, patient_id_issuer, max_associations, parallel, changed_at)
OVERRIDING SYSTEM VALUE VALUES
('PACS', '127.0.0.1', '20999', 'false', 'true', 'true', 'false', NULL, NULL, '{}', NULL, '0', '1', '2026-11-23 17:00:29.243571+00');
INSERT INTO job (job_id, kind, remote, token, payload, requested_by, state, cause, attempts, epoch, node, leased_until, cancelling, created_at, asked_at, due_at, finished_at)
OVERRIDING SYSTEM VALUE VALUES
('1', 'forward', 'PACS', NULL, '{"study": "2.25.4711.1", "commit": false}', 'send:root', 'waiting', NULL, '0', '0', NULL, NULL, 'false', '2026-11-23 17:00:43.009048+00', '2026-11-23 17:00:43.009048+00', '2026-11-23 17:00:43.009048+00', NULL);
INSERT INTO job_item (job_id, number, sop_class_uid, sop_instance_uid, study_uid, state, status, cause, attempts, changed_at)
OVERRIDING SYSTEM VALUE VALUES
('1', '1', '1.2.840.10008.5.1.4.1.1.2', '2.25.4711.1.1.1', '2.25.4711.1', 'waiting', NULL, NULL, '0', '2026-11-23 17:00:43.009048+00'),
('1', '2', '1.2.840.10008.5.1.4.1.1.2', '2.25.4711.1.1.2', '2.25.4711.1', 'waiting', NULL, NULL, '0', '2026-11-23 17:00:43.009048+00');
INSERT INTO audit (id, at, kind, outcome, principal, actor_kind, address, study, series, instance, detail)
OVERRIDING SYSTEM VALUE VALUES
('1', '2026-11-23 17:00:21.766583+00', 'account.added', 'done', 'shell:root', 'system', NULL, NULL, NULL, NULL, '{"kind": "person", "roles": ["system-administrator", "archive-administrator"], "account": "admin"}'),
('10', '2026-11-23 17:00:37.882573+00', 'token.added', 'done', 'shell:root', 'system', NULL, NULL, NULL, NULL, '{"may": null, "name": "nightly", "token": 1, "account": "gateway"}'),
('11', '2026-11-23 17:00:43.009048+00', 'job.queued', 'done', 'send:root', 'system', NULL, '2.25.4711.1', NULL, NULL, '{"to": "PACS", "job": 1, "instances": 2}'),
('12', '2026-11-23 17:00:46.566379+00', 'instance.deleted', 'done', 'shell:root', 'system', NULL, '2.25.4711.1', '2.25.4711.1.1', '2.25.4711.1.1.2', '{"due": "2026-12-23T17:00:46.538000+00:00", "size": 2839, "blobs": 1, "deletion": "01a2095a5c4a732b85a86ebf5d73aecf"}'),
('13', '2026-11-23 17:00:50.224186+00', 'index.attribute.added', 'done', 'vna index', 'system', NULL, NULL, NULL, NULL, '{"level": "PATIENT", "attribute": "00104000"}'),
('2', '2026-11-23 17:00:21.772145+00', 'account.invited', 'done', 'shell:root', 'system', NULL, NULL, NULL, NULL, '{"account": "admin"}'),
('3', '2026-11-23 17:00:25.947189+00', 'instance.stored', 'stored', 'import:root', 'system', NULL, '2.25.4711.1', '2.25.4711.1.1', '2.25.4711.1.1.2', '{"blob": "01a2095a0ba976a699b4a0fb7e877463", "size": 2839, "proto": "import"}'),
('4', '2026-11-23 17:00:26.002818+00', 'instance.stored', 'stored', 'import:root', 'system', NULL, '2.25.4711.1', '2.25.4711.1.1', '2.25.4711.1.1.1', '{"blob": "01a2095a0b9d71e3bacf65f3d82b0a49", "size": 2839, "proto": "import"}'),
('5', '2026-11-23 17:00:26.002818+00', 'instance.stored', 'stored', 'import:root', 'system', NULL, '2.25.4711.2', '2.25.4711.2.1', '2.25.4711.2.1.1', '{"blob": "01a2095a0bb87534bca0ac913bf70090", "size": 2845, "proto": "import"}'),
('6', '2026-11-23 17:00:29.243571+00', 'remote.added', 'done', 'remote:root', 'system', NULL, NULL, NULL, NULL, '{"tls": false, "host": "127.0.0.1", "port": 20999, "ae_title": "PACS", "may_find": true, "may_move": false, "parallel": 1, "may_store": true, "destinations": null, "character_set": null, "max_associations": 0, "patient_id_issuer": null, "transfer_syntaxes": []}'),
('7', '2026-11-23 17:00:31.963256+00', 'account.added', 'done', 'shell:root', 'system', NULL, NULL, NULL, NULL, '{"kind": "person", "roles": ["auditor"], "account": "ada"}'),
('8', '2026-11-23 17:00:32.00859+00', 'account.invited', 'done', 'shell:root', 'system', NULL, NULL, NULL, NULL, '{"account": "ada"}'),
('9', '2026-11-23 17:00:34.363932+00', 'account.added', 'done', 'shell:root', 'system', NULL, NULL, NULL, NULL, '{"kind": "service", "roles": ["service"], "account": "gateway"}');
