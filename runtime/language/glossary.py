"""Words of public administration in Indonesian and English, those of one meaning on one line.

Each line is one concept: its name, then the words and phrases that mean it. A concept may have two
lines. The mark before the name says how much a word tells of what a contract is about:

    `~`  ordinary: what nearly every contract has, such as a name, a date or a region
    `!`  a verb of methods
    none a subject

Only bare words stand here: affixes, plurals and words that both languages took from a third one
(`vaksinasi`, `vaccination`) are the work of `words`. The words of a
phrase are joined by `_`.
"""

from typing import Final

GLOSSARY: Final = """
!get: get ambil lihat show fetch read view detail rincian tampil baca peroleh retrieve lookup
!list: list daftar semua all enumerate jelajah browse stream index
!search: search cari find query telusur temu filter saring
!near: nearest near nearby terdekat dekat sekitar around
!create: create buat tambah add new baru insert input masuk
!apply: apply ajukan pengajuan submit mohon minta request usul propose application permohonan
!register: register daftarkan pendaftaran mendaftar
!register: registrasi registration enrol enroll enrollment
!update: update ubah ganti change edit modify perbarui mutakhir revise koreksi correct
!delete: delete hapus remove buang cabut revoke
!cancel: cancel batal batalkan pembatalan
!check: check cek periksa verify verifikasi validate validasi inspect uji
!approve: approve setuju approval sahkan putus decide decision keputusan tolak reject
!pay: pay bayar payment pembayaran settle lunas
!book: book booking pesan reserve reservasi reservation pemesanan
!report: report lapor laporan pelaporan
!import: import impor unggah upload kirim send
!export: export ekspor unduh download
!track: track lacak pantau monitor follow watch
!count: count hitung jumlah total rekap summary
!count: summarize ringkasan recap aggregate statistik statistics
!print: print cetak issue terbit publish

~id: id identifier uuid kunci key pengenal identitas identity nomor no num number
~name: name nama title judul label sebutan
~code: code kode
~date: date tanggal tgl time waktu jam hour day hari at timestamp pukul
~year: year tahun thn
~month: month bulan bln
~start: start mulai begin awal from dari since sejak berangkat
~end: end selesai akhir until sampai to hingga finish
~valid: valid berlaku expiry expired expires kedaluwarsa masa
~address: address alamat street jalan jl
~place: place tempat location lokasi posisi position site coordinate koordinat point titik letak
~latitude: latitude lintang lat
~longitude: longitude bujur lon lng long
~region: region wilayah area kawasan daerah zone zona territory regional
~regency: regency kabupaten kab kota city municipality kotamadya district
~province: province provinsi prov propinsi
~subdistrict: subdistrict kecamatan kec
~village: village desa kelurahan kel
~country: country negara nasional national
~status: status keadaan state kondisi condition stage tahap
~kind: kind jenis type tipe category kategori golongan class kelas macam
~description: description keterangan deskripsi note catatan remark information uraian penjelasan
~phone: phone telepon telp telephone hp mobile handphone kontak contact
~email: email surel
~page: page halaman token offset cursor
~limit: limit batas max maksimum maximum size ukuran per count banyak
~reason: reason alasan sebab cause
~photo: photo foto picture gambar image
~url: url link tautan website situs
~amount: amount jumlah nilai value nominal quantity kuantitas total
~price: price harga fee biaya tarif tariff cost ongkos
~document: document dokumen berkas file lampiran attachment
~agency: agency dinas instansi badan department office kantor
~agency: authority opd skpd lembaga institution unit organization organisasi
~officer: officer petugas pejabat official staff pegawai employee
~person: person orang people individu individual citizen warga masyarakat
~result: result hasil outcome
~active: active aktif enabled
~distance: distance jarak km kilometer
~percentage: percentage persen persentase percent rate
~message: message pesan error kesalahan detail
~updated: updated diperbarui created dibuat terakhir last
~capacity: capacity kapasitas daya_tampung
~open: open buka dibuka opening operasional tutup close closed schedule jadwal timetable
~criteria: criteria kriteria syarat requirement persyaratan
~extent: luas area_size hectare hektar hektare ha km2 m2
~level: level tingkat jenjang grade peringkat rank
~period: period periode semester quarter triwulan jangka
~owner: owner pemilik pengelola manager operator

island: island pulau kepulauan archipelago
beach: beach pantai coast pesisir shore
tourism: tourism wisata pariwisata tourist wisatawan
tourism: visitor pengunjung attraction destinasi destination
hotel: hotel penginapan accommodation akomodasi lodging homestay guesthouse inn losmen
room: room kamar
restaurant: restaurant restoran rumah_makan kuliner culinary eatery
event: event acara festival kegiatan perhelatan agenda activity
culture: culture budaya kebudayaan cultural cagar_budaya heritage
museum: museum
guide: guide pemandu
ticket: ticket tiket karcis
airport: airport bandara bandar_udara aerodrome
flight: flight penerbangan pesawat aircraft airline maskapai
port: port pelabuhan harbour harbor dermaga jetty pier
ship: ship kapal vessel boat perahu
ferry: ferry feri penyeberangan crossing
bus: bus bis angkutan_umum public_transport
route: route rute trayek line lintasan
stop: stop halte terminal stasiun station
passenger: passenger penumpang
vehicle: vehicle kendaraan car mobil motor
plate: plate nopol plat_polisi
roads: road ruas jalan_raya highway
bridge: bridge jembatan
damage: damage rusak kerusakan
traffic: traffic lalu_lintas kemacetan congestion
parking: parking parkir
driver: driver pengemudi sopir sim
departure: departure keberangkatan depart
arrival: arrival tiba kedatangan arrive
~permit: permit izin perizinan license licence lisensi ijin
building: building bangunan gedung imb pbg
business: business usaha perusahaan company enterprise nib niaga badan_usaha firm
sme: sme umkm micro mikro small kecil
trade: trade dagang perdagangan commerce
market: market pasar
trader: trader pedagang vendor seller penjual
applicant: applicant pemohon
environment: environment lingkungan amdal ecological
advertising: advertising reklame billboard iklan
investment: investment investasi modal penanaman_modal capital
resident: resident penduduk population kependudukan populasi inhabitant populated
family: family keluarga kk household rumah_tangga
nik: nik ktp national_id
birth: birth lahir kelahiran born
death: death kematian meninggal wafat mortality deceased mati
marriage: marriage nikah perkawinan pernikahan kawin married marital
divorce: divorce cerai perceraian
gender: gender kelamin sex
religion: religion agama
occupation: occupation pekerjaan job profesi profession work kerja employment
move: move pindah migration migrasi relocation mutasi
father: father ayah bapak
mother: mother ibu
child: child anak balita infant bayi toddler
parent: parent orang_tua wali guardian
~certificate: certificate akta sertifikat deed surat_keterangan letter
nationality: nationality kewarganegaraan
age: age umur usia
health: health kesehatan medical medis
hospital: hospital rumah_sakit rs rsud
clinic: clinic puskesmas klinik health_center
doctor: doctor dokter physician
nurse: nurse perawat bidan midwife
patient: patient pasien
bed: bed tempat_tidur ranjang
disease: disease penyakit illness outbreak wabah kasus
vaccination: vaccination vaksinasi imunisasi immunization vaksin vaccine dose dosis
medicine: medicine obat drug pharmacy apotek farmasi pharmaceutical
stock: stock stok persediaan inventory supply
queue: queue antrian antrean
referral: referral rujukan
diagnosis: diagnosis diagnosa
visit: visit kunjungan
nutrition: nutrition gizi stunting
weight: weight berat_badan
height: height tinggi_badan
blood: blood darah
donor: donor pendonor
ambulance: ambulance ambulans
insurance: insurance asuransi bpjs jaminan
school: school sekolah education pendidikan
student: student siswa murid pelajar peserta_didik pupil
teacher: teacher guru pendidik
curriculum: curriculum kurikulum
subjectmatter: lesson mata_pelajaran mapel
exam: exam ujian test
score: score skor nilai rapor mark
scholarship: scholarship beasiswa
university: university universitas kampus perguruan_tinggi campus
library: library perpustakaan pustaka
bookitem: buku bacaan
loan: loan pinjaman peminjaman borrow pinjam kredit credit
tax: tax pajak perpajakan taxation
taxpayer: taxpayer wajib_pajak
taxid: npwp nopd tax_id
levy: levy retribusi
property: property properti pbb estate
object: object objek nop
bill: bill tagihan invoice due
arrears: arrears tunggakan outstanding
fine: fine denda penalty
revenue: revenue pendapatan penerimaan income penghasilan
land: land tanah lahan pertanahan
parcel: parcel bidang persil plot
ownership: ownership hak kepemilikan title_deed tenure
zoning: zoning tata_ruang spatial_planning
use: use penggunaan pemanfaatan peruntukan guna
map: map peta geometry poligon polygon
dispute: dispute sengketa conflict
measure: survey ukur pengukuran measurement
disaster: disaster bencana
flood: flood banjir
earthquake: earthquake gempa
volcano: volcano gunung_api
fire: fire kebakaran api
warning: warning peringatan peringatan_dini alert
shelter: shelter pengungsian evakuasi evacuation refugee pengungsi
victim: victim korban casualty
logistics: logistics logistik
relief: relief bantuan aid assistance
water: water air sungai river
level_water: water_level muka_air
rain: rain hujan curah rainfall
weather: weather cuaca
magnitude: magnitude kekuatan
depth: depth kedalaman
epicentre: epicentre epicenter pusat_gempa
procurement: procurement pengadaan lelang tender
package: paket
bid: bid penawaran
supplier: supplier penyedia pemasok rekanan
contract: contract kontrak perjanjian
budget: budget anggaran apbd dipa
winner: winner pemenang
goods: goods barang item komoditas commodity
contractor: contractor kontraktor
spending: spending belanja expenditure pengeluaran realisasi
farmer: farmer petani agriculture pertanian farm tani farming
crop: crop tanaman plant komoditi
rice: rice padi beras
harvest: harvest panen
fertilizer: fertilizer pupuk
irrigation: irrigation irigasi
livestock: livestock ternak peternakan cattle
animal: animal hewan satwa
fish: fish ikan perikanan fishery
fisher: fisherman nelayan fisher
catch: catch tangkapan tangkap
forest: forest hutan kehutanan
tree: tree pohon
waste: waste sampah limbah garbage trash
pollution: pollution polusi pencemaran pollutant
airquality: air_quality kualitas_udara
recycling: recycling daur_ulang
electricity: electricity listrik power
energy: energy energi
lamp: lamp lampu streetlight penerangan
complaint: complaint aduan pengaduan keluhan grievance
suggestion: suggestion saran aspirasi feedback masukan
reporter: reporter pelapor
response: tanggapan tindak_lanjut followup
social: social sosial
poverty: poverty miskin kemiskinan poor
recipient: recipient penerima beneficiary
disability: disability disabilitas difabel penyandang
elderly: elderly lansia lanjut_usia
orphan: orphan yatim
pension: pension pensiun
salary: salary gaji wage upah
civilservant: asn pns civil_servant
position_job: jabatan
attendance: attendance absensi kehadiran presensi absen
leave: leave cuti
worker: worker tenaga labour labor buruh
vacancy: vacancy lowongan
training: training pelatihan diklat course kursus
skill: skill keahlian keterampilan kompetensi competence
court: court pengadilan
case: perkara lawsuit
law: law hukum peraturan regulation perda legal
police: police kepolisian
crime: crime kejahatan pidana
election: election pemilu pemilihan
voter: voter pemilih
archive: archive arsip
asset: asset aset
meeting: meeting rapat
survey: questionnaire kuesioner
price_food: food pangan bahan_pokok staple
price_change: inflation inflasi
mosque: mosque masjid
cooperative: cooperative koperasi
member: member anggota
village_fund: village_fund dana_desa
fund: fund dana
project: project proyek pembangunan development
progress: progress kemajuan
house: house rumah housing perumahan
sanitation: sanitation sanitasi
cleanwater: clean_water air_bersih pdam
meter: meter meteran
customer: customer pelanggan
usage: usage pemakaian consumption konsumsi
mine: mine tambang mining pertambangan
sport: sport olahraga
park: park taman
cemetery: cemetery makam pemakaman
grave: grave kuburan
pregnancy: pregnancy hamil kehamilan pregnant
laboratory: laboratory laboratorium lab
sample: sample sampel
product: product produk
halal: halal
customs: customs bea_cukai
passport: passport paspor
visa: visa
nationalpark: national_park taman_nasional
trail: trail pendakian hiking climbing mendaki
temperature: temperature suhu
speed: speed kecepatan wind angin
rating: rating ulasan review bintang star
facility: facility fasilitas sarana amenity prasarana infrastructure
seat: seat kursi
baggage: baggage bagasi luggage
iata: iata icao
runway: runway landasan_pacu
"""
